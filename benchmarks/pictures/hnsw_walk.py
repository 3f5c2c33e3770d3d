"""HNSW beside exact search: the walk of one query over the graph that the package built.

The items are unit vectors above a disk, seen from above. The graph is read from the file that
hnswlib writes. The walk is the published algorithm on that graph, and its result is compared
with the result of the index.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

import minitower as mt
from pictures.svg import Picture

ITEMS, K, EF, LINKS = 260, 5, 6, 4
QUERY = (-0.51, 0.31)
RADIUS, TOP = 172, 232


def disk() -> np.ndarray:
    """Points spread over the unit disk: of twelve random ones, the farthest from all before."""
    rng = np.random.default_rng(4)
    points = np.zeros((1, 2))
    while len(points) < ITEMS:
        angle, radius = rng.uniform(0, 2 * np.pi, 12), np.sqrt(rng.uniform(0, 1, 12))
        tries = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
        gaps = np.linalg.norm(tries[:, None] - points, axis=2).min(axis=1)
        points = np.vstack([points, tries[gaps.argmax()]])
    return points[rng.permutation(ITEMS)]


def on_sphere(plane: np.ndarray) -> np.ndarray:
    """Unit vectors above points of the disk. Shapes: (n,2)->(n,3)"""
    vectors = np.column_stack([plane, np.full(len(plane), 2.0)])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Graph:
    """The links in a file of hnswlib.

    Attributes:
        entry: the item where each walk begins.
        layers: {item: linked items} of each layer, the ground layer first.
    """

    def __init__(self, file: bytes) -> None:
        head = "<6QiI3QdQ"
        _, _, count, size, _, _, top, self.entry, most, *_ = struct.unpack_from(head, file)
        at = struct.calcsize(head)
        self.layers: list[dict[int, list[int]]] = [{} for _ in range(top + 1)]
        for item in range(count):
            self.layers[0][item] = self._links(file, at + item * size)
        at += count * size
        for item in range(count):
            (length,) = struct.unpack_from("<I", file, at)
            for layer in range(length // (4 + 4 * most)):
                self.layers[layer + 1][item] = self._links(file, at + 4 + layer * (4 + 4 * most))
            at += 4 + length

    @staticmethod
    def _links(file: bytes, at: int) -> list[int]:
        (count,) = struct.unpack_from("<H", file, at)
        return list(struct.unpack_from(f"<{count}I", file, at + 4))


@dataclass
class Walk:
    """One search. `scored` are the items that the query was compared with, in order."""

    scored: list[int] = field(default_factory=list)
    path: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)


def search(graph: Graph, scores: np.ndarray, ef: int, k: int) -> Walk:
    """Greedy steps on the upper layers, then the best `ef` candidates on the ground layer."""
    walk = Walk([graph.entry], [graph.entry])
    for links in graph.layers[:0:-1]:
        while True:
            here = walk.path[-1]
            walk.scored += [item for item in links[here] if item not in walk.scored]
            best = max(links[here], key=lambda item: scores[item], default=here)
            if scores[best] <= scores[here]:
                break
            walk.path.append(best)
    seen, waiting, kept = {walk.path[-1]}, [walk.path[-1]], [walk.path[-1]]
    while waiting:
        here = max(waiting, key=lambda item: scores[item])
        waiting.remove(here)
        if len(kept) == ef and scores[here] < scores[kept[-1]]:
            break
        if scores[here] > scores[walk.path[-1]]:
            walk.path.append(here)
        for item in graph.layers[0][here]:
            if item in seen:
                continue
            seen.add(item)
            walk.scored += [item] if item not in walk.scored else []
            if len(kept) < ef or scores[item] > scores[kept[-1]]:
                waiting.append(item)
                kept = sorted([*kept, item], key=lambda one: -scores[one])[:ef]
    walk.found = kept[:k]
    return walk


def cross(picture: Picture, x: float, y: float) -> None:
    """The query."""
    for turn in (-6, 6):
        picture.line([(x - 6, y - turn), (x + 6, y + turn)], "ink", thickness=2.5)


def built() -> tuple[np.ndarray, mt.ApproximateIndex, np.ndarray, np.ndarray, Graph]:
    """The points of the plane, the index of the items above them, items, query, and its graph."""
    plane, query = disk(), np.array([QUERY])
    items, user = on_sphere(plane), on_sphere(query)
    index = mt.ApproximateIndex.build(
        "hnsw", items, similarity="cosine", queries=user, k=K, neighbors=LINKS, ef_construction=40
    )
    index.effort = EF
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        graph = Graph((Path(folder) / "index.hnsw").read_bytes())
    return plane, index, items, user, graph


def draw() -> Picture:
    """The same items twice: all of them scored, and those that the walk scored."""
    plane, index, items, user, graph = built()
    walk = search(graph, items @ user[0], EF, K)
    exact = mt.ExactIndex(items).search(user, K)[0][0].tolist()
    assert walk.found == index.search(user, K)[0][0].tolist(), "not the walk of the index"
    right = len(set(exact) & set(walk.found))

    picture = Picture(
        "Exact search looks at every item, HNSW at a few along a walk",
        f"{ITEMS} items in a plane, and the {K} nearest to a query. Exact search scores {ITEMS} "
        f"items. HNSW scores {len(walk.scored)}, walks over {len(walk.path)} items and finds "
        f"{right} of the {K}.",
        500,
    )
    picture.line([(622, 472), (652, 472)], "orange", thickness=2.5, arrow=True)
    picture.text(664, 472, "walk", "muted", size=13)
    for x, color, words in (
        (250, "blue", "scored"),
        (345, "green", f"the {K} nearest"),
        (476, "orange", "start of the walk"),
    ):
        if color == "green":
            picture.circle(x, 472, 7, stroke=color, thickness=2)
        else:
            picture.circle(x, 472, 5, color)
        picture.text(x + 14, 472, words, "muted", size=13)
    cross(picture, 156, 472)
    picture.text(170, 472, "query", "muted", size=13)
    panels = (
        (205, "exact search", range(ITEMS), f"scores all {ITEMS} items", exact),
        (
            625,
            "HNSW",
            walk.scored,
            f"scores {len(walk.scored)} items, finds {right} of {K}",
            walk.found,
        ),
    )
    for middle, title, scored, words, found in panels:
        place = [(middle + RADIUS * x, TOP - RADIUS * y) for x, y in plane]
        picture.text(middle, 22, title, "ink", size=17, bold=True, anchor="middle")
        picture.text(middle, 430, words, "muted", anchor="middle")
        if title == "HNSW":
            for item, links in graph.layers[0].items():
                for other in links:
                    if item < other or item not in graph.layers[0][other]:
                        picture.line([place[item], place[other]], "line", opacity=0.7)
        if title == "HNSW":
            for before, after in pairwise(walk.path):
                hop = [place[before], place[after]]
                picture.line(hop, "orange", thickness=2.5, arrow=np.ptp(hop, axis=0).max() > 40)
        for item in range(ITEMS):
            if item in scored:
                picture.circle(*place[item], 4, "blue")
            else:
                picture.circle(*place[item], 3, "page", stroke="muted")
        if title == "HNSW":
            picture.circle(*place[walk.path[0]], 6, "orange")
        for item in found:
            picture.circle(*place[item], 7, stroke="green", thickness=2)
        x, y = middle + RADIUS * QUERY[0], TOP - RADIUS * QUERY[1]
        cross(picture, x, y)
    return picture
