"""ScaNN (extra ``scann``): leaves of a tree, quantised so that inner products survive it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.errors import DataError
from minitower.search.engines import Engine, Nearest, doubling
from minitower.search.files import Files
from minitower.search.vector_index import Unit

_FEW = 1000  # items, below which a tree has nothing to divide
_BATCH = 256  # queries a thread takes at a time


class Scann(Engine):
    """The effort is the number of leaves that are looked into.

    The best by code are scored again by vector: at least four times what is asked for, and
    a quarter as many times as there are leaves. Fewer than a thousand items are all scored.
    """

    module = "scann"

    def __init__(self, searcher: Any, items: int) -> None:
        self._searcher = searcher
        self._leaves = _leaves(items)

    @classmethod
    def build(cls, vectors: Unit, *, seed: int = 0) -> Self:
        scann = _scann()
        m = len(vectors)
        builder = scann.builder(vectors, min(10, m), "dot_product")
        if m < _FEW:
            builder = builder.score_brute_force()
        else:
            leaves = _leaves(m)
            builder = builder.tree(leaves, num_leaves_to_search=1, training_sample_size=m)
            builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(10)
        return cls(builder.build(), m)

    def efforts(self, k: int) -> Sequence[int]:
        return doubling(1, self._leaves)

    def search(self, queries: Unit, size: int, effort: int) -> Nearest:
        searcher = self._searcher
        many = len(queries) > _BATCH
        search = searcher.search_batched_parallel if many else searcher.search_batched
        settings = {}
        if self._leaves > 1:
            effort = min(max(effort, 1), self._leaves)
            settings["leaves_to_search"] = effort
            settings["pre_reorder_num_neighbors"] = size * max(4, effort // 4)
        rows, cosines = search(queries, final_num_neighbors=size, **settings)
        # Where it finds too few, ScaNN returns row 0 with a cosine that is not a number.
        short = np.isnan(cosines)
        rows = rows.astype(np.int64)
        if short.any():
            rows[short], cosines[short] = -1, -np.inf
        return rows, cosines

    def save(self, folder: Path) -> None:
        try:
            self._searcher.serialize(str(folder), relative_path=True)
        except RuntimeError as error:
            raise OSError(None, f"ScaNN: {error}") from None

    @classmethod
    def open(cls, saved: Files, vectors: Unit) -> Self:
        for name in saved.files:  # it opens them itself
            saved.path(name)
        try:
            searcher = _scann().load_searcher(str(saved.folder))
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{saved.folder}: this ScaNN cannot read it: {error}") from None
        return cls(searcher, len(vectors))


def _leaves(items: int) -> int:
    return int(2 * np.sqrt(items)) if items >= _FEW else 1


def _scann() -> Any:
    """ScaNN's Python binding, without its TensorFlow operations.

    `import scann` loads these where it finds a TensorFlow, and fails where that is not the
    very release they were built for.
    """
    hidden: dict[str, Any] = {"scann.scann_ops.py.scann_ops": None}
    if "tensorflow" not in sys.modules:
        hidden["tensorflow"] = None
    if sys.modules.get("scann") is None:
        sys.modules.update(hidden)
        try:
            import scann  # noqa: F401
        except ModuleNotFoundError:
            raise ModuleNotFoundError('ScaNN is missing: pip install "minitower[scann]"') from None
        finally:
            for name in hidden:
                del sys.modules[name]
    from scann.scann_ops.py import scann_ops_pybind

    return scann_ops_pybind
