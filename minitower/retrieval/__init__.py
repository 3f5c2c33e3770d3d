"""Item vectors -> index -> recall; how good the recall is; models and stores on disk."""

from minitower.retrieval.encode import encode
from minitower.retrieval.evaluation import Evaluator, PopularityScorer, Report, evaluate
from minitower.retrieval.hnsw import HnswIndex
from minitower.retrieval.index import ExactIndex, Index
from minitower.retrieval.recommender import Recommender
from minitower.retrieval.snapshot import Store, load_model, load_notes, publish, save_model

__all__ = [
    "Evaluator",
    "ExactIndex",
    "HnswIndex",
    "Index",
    "PopularityScorer",
    "Recommender",
    "Report",
    "Store",
    "encode",
    "evaluate",
    "load_model",
    "load_notes",
    "publish",
    "save_model",
]
