"""The public names of the package: ``minitower`` hands them out on first use. Chapter 0."""

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
from minitower.evaluation.baselines import ItemToItem, ease, item_knn
from minitower.evaluation.diagnostics import neighbors
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator, PopularityScorer, evaluate
from minitower.evaluation.report import Report
from minitower.formulas.threads import use_threads
from minitower.scale.milvus import MilvusIndex
from minitower.search.approximate import ApproximateIndex
from minitower.search.by_id import VectorIndex
from minitower.search.index import ExactIndex
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.local_index import LocalIndex
from minitower.store.model_files import load_model, load_optimizer, save_model
from minitower.store.recommender import Recommender
from minitower.towers.optimizers import SGD, Adagrad, Adam, Optimizer, RowWiseAdagrad, RowWiseAdam
from minitower.towers.schedules import EpochSchedule, cosine_decay, warmup
from minitower.towers.two_tower import TwoTower
from minitower.towers.user_history import UserHistory
from minitower.training.gradient_step import TrainingError
from minitower.training.hard_negatives import HardNegatives, MinedNegatives
from minitower.training.history import History, Progress
from minitower.training.negatives import MixedNegatives, SharedNegatives
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax
from minitower.training.regularization import Regularization
from minitower.training.sampled_negatives import (
    popular_negatives,
    shared_negatives,
    uniform_negatives,
)
from minitower.training.sampled_objectives import Listwise, Pairwise, Pointwise
from minitower.training.self_supervised import SelfSupervised
from minitower.training.spectral_start import spectral_start
from minitower.training.trainer import Trainer
from minitower.training.tune import Tuning, tune
from minitower.training.views import pairwise_mutual_information
from minitower.updating.full_update import full_update
from minitower.updating.incremental_session import IncrementalSession, incremental_update
from minitower.updating.incremental_update import IncrementalUpdate, train_incremental_update
from minitower.updating.options import FullUpdateOptions, IncrementalOptions
from minitower.updating.publishing import publish
from minitower.updating.train_full_update import train_full_update
from minitower.updating.validation_gate import UpdateRefused

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
    "EpochSchedule",
    "Evaluator",
    "ExactIndex",
    "FullUpdateOptions",
    "GivenSplit",
    "HardNegatives",
    "History",
    "Id",
    "InBatchSoftmax",
    "IncrementalOptions",
    "IncrementalSession",
    "IncrementalUpdate",
    "Interactions",
    "ItemToItem",
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
    "Regularization",
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
    "Tuning",
    "TwoTower",
    "UpdateRefused",
    "UserHistory",
    "VectorIndex",
    "cosine_decay",
    "ease",
    "encode",
    "evaluate",
    "full_update",
    "incremental_update",
    "item_knn",
    "load_model",
    "load_optimizer",
    "neighbors",
    "next_day",
    "pairwise_mutual_information",
    "popular_negatives",
    "publish",
    "publish_incremental",
    "publish_model",
    "retire",
    "save_model",
    "shared_negatives",
    "spectral_start",
    "train_full_update",
    "train_incremental_update",
    "tune",
    "uniform_negatives",
    "use_threads",
    "warmup",
]
