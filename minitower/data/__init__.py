"""What a user brings: schema, vocabularies, encoded tables, interaction logs, readers."""

from minitower.data.days import next_day, retire
from minitower.data.encoding import Features, FittedSchema, Ragged, SideEncoder, Table
from minitower.data.errors import DataError
from minitower.data.interactions import Dataset, Interactions
from minitower.data.positives import positive_rule
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued, Schema
from minitower.data.splits import (
    GivenSplit,
    LastSplit,
    RandomSplit,
    Rule,
    Split,
    TimeSplit,
    parse_rule,
)
from minitower.data.streams import (
    ClickStream,
    Cursor,
    EventFields,
    Events,
    Follow,
    write_events,
)
from minitower.data.vocabulary import Vocabulary

__all__ = [
    "Categorical",
    "ClickStream",
    "Continuous",
    "Cursor",
    "DataError",
    "Dataset",
    "EventFields",
    "Events",
    "Features",
    "Field",
    "FittedSchema",
    "Follow",
    "GivenSplit",
    "Id",
    "Interactions",
    "LastSplit",
    "MultiValued",
    "Ragged",
    "RandomSplit",
    "Rule",
    "Schema",
    "SideEncoder",
    "Split",
    "Table",
    "TimeSplit",
    "Vocabulary",
    "next_day",
    "parse_rule",
    "positive_rule",
    "retire",
    "write_events",
]
