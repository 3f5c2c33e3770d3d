"""What a user brings: schema, vocabularies, encoded tables, interaction logs, readers.

Chapter 3.
"""

from minitower.data.days import next_day as next_day
from minitower.data.days import retire as retire
from minitower.data.errors import DataError as DataError
from minitower.data.feature_encoder import FeatureEncoder as FeatureEncoder
from minitower.data.feature_encoder import FeatureEncoders as FeatureEncoders
from minitower.data.interactions import Dataset as Dataset
from minitower.data.log import Interactions as Interactions
from minitower.data.positives import positive_rule as positive_rule
from minitower.data.rules import Rule as Rule
from minitower.data.rules import parse_rule as parse_rule
from minitower.data.schema import Categorical as Categorical
from minitower.data.schema import Continuous as Continuous
from minitower.data.schema import Field as Field
from minitower.data.schema import Id as Id
from minitower.data.schema import MultiValued as MultiValued
from minitower.data.schema import Schema as Schema
from minitower.data.splits import GivenSplit as GivenSplit
from minitower.data.splits import LastSplit as LastSplit
from minitower.data.splits import RandomSplit as RandomSplit
from minitower.data.splits import Split as Split
from minitower.data.splits import TimeSplit as TimeSplit
from minitower.data.splits import parse_split as parse_split
from minitower.data.table import Features as Features
from minitower.data.table import Ragged as Ragged
from minitower.data.table import Table as Table
from minitower.data.table import Vocabulary as Vocabulary
