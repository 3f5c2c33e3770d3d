"""ScaNN (extra ``scann``): leaves of a tree, quantized so that inner products survive.

Chapter 20.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.errors import DataError
from minitower.search.engines import Engine, VerifiedFolder, doubling
from minitower.search.index import SearchResult
from minitower.search.points import Points

_FEW = 1000  # items below which a tree does not help
_BATCH = 256  # queries that one thread takes at a time


class Scann(Engine):
    """The effort is the number of leaves that a search reads.

    The best by code are scored again by vector. The pool that is scored again is the list
    length times 4, or times a quarter of the leaves if that is more. With fewer than a
    thousand items, every item is scored.
    """

    name = "scann"
    module = "scann"
    missing = 'ScaNN is missing: pip install "minitower[scann]"'
    pooled = True

    def __init__(self, searcher: Any, items: int) -> None:
        self._searcher = searcher
        self._leaves = _leaves(items)

    @classmethod
    def library(cls) -> Any:
        """ScaNN's Python binding, without its TensorFlow operations.

        `import scann` loads the operations where it finds a TensorFlow. The import fails if
        they were built for another release of TensorFlow.
        """
        hidden: dict[str, Any] = {"scann.scann_ops.py.scann_ops": None}
        if "tensorflow" not in sys.modules:
            hidden["tensorflow"] = None
        if sys.modules.get("scann") is None:
            sys.modules.update(hidden)
            try:
                import scann  # noqa: F401
            except ModuleNotFoundError:
                raise ModuleNotFoundError(cls.missing) from None
            finally:
                for name in hidden:
                    del sys.modules[name]
        from scann.scann_ops.py import scann_ops_pybind

        return scann_ops_pybind

    @classmethod
    def build(cls, points: Points, *, seed: int = 0) -> Self:
        scann = cls.library()
        m = len(points)
        builder = scann.builder(points, min(10, m), "dot_product")
        if m < _FEW:
            builder = builder.score_brute_force()
        else:
            leaves = _leaves(m)
            builder = builder.tree(leaves, num_leaves_to_search=1, training_sample_size=m)
            builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(10)
        return cls(builder.build(), m)

    def effort_ladder(self, k: int) -> Sequence[int]:
        return doubling(1, self._leaves)

    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        searcher = self._searcher
        many = len(points) > _BATCH
        search = searcher.search_batched_parallel if many else searcher.search_batched
        settings = {}
        if self._leaves > 1:
            effort = min(max(effort, 1), self._leaves)
            settings["leaves_to_search"] = effort
            settings["pre_reorder_num_neighbors"] = size * max(4, effort // 4)
        rows, scores = search(points, final_num_neighbors=size, **settings)
        # Where ScaNN finds too few, it returns row 0 with a score that is not a number.
        short = np.isnan(scores)
        rows = rows.astype(np.int64)
        if short.any():
            rows[short], scores[short] = -1, -np.inf
        return rows, scores

    def save(self, folder: Path) -> None:
        try:
            self._searcher.serialize(str(folder), relative_path=True)
        except RuntimeError as error:
            raise OSError(None, f"ScaNN: {error}") from None

    @classmethod
    def open(cls, saved: VerifiedFolder, shape: tuple[int, int]) -> Self:
        # ScaNN opens the files itself, and unpickles one of them if it is there.
        for path in saved.folder.iterdir():
            if path.name in saved.files:
                saved.path(path.name)
            elif path.suffix != ".json":
                raise DataError(f"{path}: is not listed in the manifest; remove it")
        try:
            searcher = cls.library().load_searcher(str(saved.folder))
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{saved.folder}: this ScaNN cannot read it: {error}") from None
        return cls(searcher, shape[0])


def _leaves(items: int) -> int:
    return int(2 * np.sqrt(items)) if items >= _FEW else 1
