"""Two-tower retrieval in NumPy: towers, losses and their gradients written by hand.

>>> import minitower as mt
>>> data = mt.Dataset.from_columns(
...     mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")]),
...     interactions={"user_id": [1, 1, 2, 2], "item_id": [7, 8, 7, 9]},
...     split=mt.RandomSplit(valid=0, test=0),
... )
>>> model = mt.TwoTower(data.schema, dim=8, hidden=())
>>> mt.Trainer(model, data).fit(epochs=2).best_epoch
2
"""

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    GivenSplit,
    Id,
    Interactions,
    LastSplit,
    MultiValued,
    RandomSplit,
    Schema,
    Split,
    TimeSplit,
    next_day,
    retire,
)
from minitower.evaluation.diagnostics import neighbours
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator, PopularityScorer, Report, evaluate
from minitower.scale.milvus import MilvusIndex
from minitower.search.approximate import ApproximateIndex
from minitower.search.by_id import VectorIndex
from minitower.search.index import ExactIndex
from minitower.store.incremental import publish_incremental
from minitower.store.local_index import LocalIndex
from minitower.store.recommender import Recommender
from minitower.store.snapshot import load_model, load_optimizer, publish_model, save_model
from minitower.towers.optimizers import (
    SGD,
    Adagrad,
    Adam,
    Optimizer,
    RowWiseAdagrad,
    RowWiseAdam,
    cosine_decay,
    warmup,
)
from minitower.towers.two_tower import TwoTower
from minitower.training.cross_batch import CrossBatchSoftmax
from minitower.training.negatives import (
    HardNegatives,
    MinedNegatives,
    MixedNegatives,
    SharedNegatives,
    popular_negatives,
    uniform_negatives,
)
from minitower.training.objectives import InBatchSoftmax
from minitower.training.pair_objectives import Listwise, Pairwise, Pointwise
from minitower.training.self_supervised import SelfSupervised
from minitower.training.trainer import History, Progress, Trainer, TrainingError
from minitower.training.views import relatedness
from minitower.updating.publishing import publish
from minitower.updating.updates import (
    IncrementalUpdate,
    UpdateRefused,
    full_update,
    incremental_update,
)

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "ApproximateIndex",
    "Categorical",
    "Continuous",
    "CrossBatchSoftmax",
    "DataError",
    "Dataset",
    "Evaluator",
    "ExactIndex",
    "GivenSplit",
    "HardNegatives",
    "History",
    "Id",
    "InBatchSoftmax",
    "IncrementalUpdate",
    "Interactions",
    "LastSplit",
    "Listwise",
    "LocalIndex",
    "MilvusIndex",
    "MinedNegatives",
    "MixedNegatives",
    "MultiValued",
    "Optimizer",
    "Pairwise",
    "Pointwise",
    "PopularityScorer",
    "Progress",
    "RandomSplit",
    "Recommender",
    "Report",
    "RowWiseAdagrad",
    "RowWiseAdam",
    "Schema",
    "SelfSupervised",
    "SharedNegatives",
    "Split",
    "TimeSplit",
    "Trainer",
    "TrainingError",
    "TwoTower",
    "UpdateRefused",
    "VectorIndex",
    "cosine_decay",
    "encode",
    "evaluate",
    "full_update",
    "incremental_update",
    "load_model",
    "load_optimizer",
    "neighbours",
    "next_day",
    "popular_negatives",
    "publish",
    "publish_incremental",
    "publish_model",
    "relatedness",
    "retire",
    "save_model",
    "uniform_negatives",
    "warmup",
]
