"""Item vectors -> index -> recall; how good it is; models and stores on disk; vector databases."""

from minitower.retrieval.catalogue import Catalogue, prune, rollback
from minitower.retrieval.diagnostics import neighbours
from minitower.retrieval.encode import encode
from minitower.retrieval.evaluation import Evaluator, PopularityScorer, Report, evaluate
from minitower.retrieval.hnsw import HnswIndex
from minitower.retrieval.incremental import publish_incremental
from minitower.retrieval.index import ExactIndex, Index
from minitower.retrieval.local_index import LocalIndex
from minitower.retrieval.milvus import MilvusIndex
from minitower.retrieval.recommender import Recommender
from minitower.retrieval.snapshot import (
    Store,
    load_model,
    load_notes,
    load_optimizer,
    publish_model,
    save_model,
)
from minitower.retrieval.vector_index import VectorIndex

__all__ = [
    "Catalogue",
    "Evaluator",
    "ExactIndex",
    "HnswIndex",
    "Index",
    "LocalIndex",
    "MilvusIndex",
    "PopularityScorer",
    "Recommender",
    "Report",
    "Store",
    "VectorIndex",
    "encode",
    "evaluate",
    "load_model",
    "load_notes",
    "load_optimizer",
    "neighbours",
    "prune",
    "publish_incremental",
    "publish_model",
    "rollback",
    "save_model",
]
