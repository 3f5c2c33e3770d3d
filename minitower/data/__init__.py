"""What a user brings: schema, vocabularies, encoded tables, interaction logs, readers.

Chapter 3.
"""

from minitower.data.days import next_day, retire
from minitower.data.errors import DataError
from minitower.data.feature_encoder import FeatureEncoder, FeatureEncoders
from minitower.data.interactions import Dataset
from minitower.data.log import Interactions
from minitower.data.positives import positive_rule
from minitower.data.rules import Rule, parse_rule
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued, Schema
from minitower.data.splits import (
    GivenSplit,
    LastSplit,
    RandomSplit,
    Split,
    TimeSplit,
    parse_split,
)
from minitower.data.table import Features, Ragged, Table, Vocabulary

__all__ = [
    "Categorical",
    "Continuous",
    "DataError",
    "Dataset",
    "FeatureEncoder",
    "FeatureEncoders",
    "Features",
    "Field",
    "GivenSplit",
    "Id",
    "Interactions",
    "LastSplit",
    "MultiValued",
    "Ragged",
    "RandomSplit",
    "Rule",
    "Schema",
    "Split",
    "Table",
    "TimeSplit",
    "Vocabulary",
    "next_day",
    "parse_rule",
    "parse_split",
    "positive_rule",
    "retire",
]
