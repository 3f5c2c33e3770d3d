"""The numbers of the interactive figures, computed by the package as those of the pictures.

One script holds them all. It works from a file, too, where a browser fetches no JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from pictures import batch_matrix, example, hnsw_walk, logq_lever
from pictures.svg import COLORS

WEIGHTS = np.linspace(0, 1, 9)
"""Weights of log q; 0.25 is one of them."""
EFFORTS = range(1, 31)


def temperature() -> dict[str, Any]:
    """The scores of the batch of chapter 4, and the columns of its popular item."""
    batch, popular = batch_matrix.batch_with_a_popular_item()
    model = example.trained(0.0)
    scores = model.user(batch.users)[0] @ model.item(batch.items)[0].T
    columns = np.flatnonzero(batch.item_rows == popular)
    return {"scores": scores.astype(float).round(5).tolist(), "popular": columns.tolist()}


def logq_weight() -> dict[str, Any]:
    """The mean score of each clicked item, for models that were trained with each weight."""
    counts = example.data().item_counts
    known = counts > 0
    scores = [logq_lever.mean_scores(float(weight))[known].round(3) for weight in WEIGHTS]
    return {
        "clicks": counts[known].tolist(),
        "weights": WEIGHTS.tolist(),
        "scores": [np.asarray(one, float).round(3).tolist() for one in scores],
    }


def effort() -> dict[str, Any]:
    """The points, the links of the ground layer, and the walk of each effort."""
    plane, _, items, user, graph = hnsw_walk.built()
    scores = items @ user[0]
    walks = [hnsw_walk.search(graph, scores, ef, hnsw_walk.K) for ef in EFFORTS]
    exact = np.argsort(-scores, kind="stable")[: hnsw_walk.K]
    links = {
        tuple(sorted((item, other))) for item, all_of in graph.layers[0].items() for other in all_of
    }
    return {
        "points": plane.round(3).tolist(),
        "query": hnsw_walk.QUERY,
        "links": sorted(links),
        "exact": exact.tolist(),
        "efforts": list(EFFORTS),
        "walks": [{"scored": w.scored, "path": w.path, "found": w.found} for w in walks],
    }


def numbers() -> dict[str, Any]:
    """The numbers of all figures."""
    return {"temperature": temperature(), "logq_weight": logq_weight(), "effort": effort()}


def colors() -> str:
    """The colors of the pictures as a style sheet, for light and for dark pages."""

    def rules(scheme: int) -> str:
        return "".join(f"--picture-{name}:{both[scheme]};" for name, both in COLORS.items())

    return (
        f"body{{{rules(0)}}}\nbody[data-theme=dark]{{{rules(1)}}}\n"
        f"@media(prefers-color-scheme:dark){{body[data-theme=auto]{{{rules(1)}}}}}\n"
    )


def write(folder: Path) -> None:
    """Write the numbers and the colors."""
    data = json.dumps(numbers(), separators=(",", ":"))
    (folder / "figures-data.js").write_text(f"window.minitowerFigures = {data};\n", "utf-8")
    (folder / "colors.css").write_text(colors(), "utf-8")
