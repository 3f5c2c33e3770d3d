"""The public names of the package: ``minitower`` hands them out on first use."""

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
from minitower.search.hnsw import HnswIndex
from minitower.search.index import ExactIndex
from minitower.search.vector_index import VectorIndex
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
from minitower.training.negatives import (
    HardNegatives,
    MinedNegatives,
    MixedNegatives,
    SharedNegatives,
    popular_negatives,
    uniform_negatives,
)
from minitower.training.objectives import (
    CrossBatchSoftmax,
    InBatchSoftmax,
    Listwise,
    Pairwise,
    Pointwise,
)
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

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
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
    "HnswIndex",
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
