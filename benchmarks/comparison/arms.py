"""Every contender: its settings to try, its epochs, and the splits that it runs on.

All arms that are tuned have the same budget: :data:`BUDGET` settings, each trained with one seed
and measured by epoch on validation. The best setting then trains with three seeds, still on
validation, which chooses the number of epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any

from . import frameworks, peers, recipe
from .recipe import RECIPES, SHORT, Recipe, Setting

BUDGET = 8
SEEDS = 3
ALL = "gowalla-split", "ml-1m-split", "ml-1m-date"
IDS = "gowalla-split", "ml-1m-split"
DENSE = "ml-1m-split", "ml-1m-date"


@dataclass(frozen=True)
class Arm:
    """A contender.

    Attributes:
        train: (data, setting, seed, watch) -> None; calls ``watch.after_epoch`` with a model.
        tries: split -> the settings that a search tries; those of "tiny" are two at most.
        chosen: split -> the setting, for an arm that is chosen by hand or not tuned; None: the
            best that was tried.
        splits: where the arm runs.
        every: epochs from one measure to the next, on validation.
        seeds: 1 for what has no randomness.
        tested: False: the arm is in the curves alone, and reads no test.
        needs: packages of the extra "peers".
        prepare: sets one thread, before the seconds count.
    """

    train: Callable[..., None]
    tries: Callable[[str], list[Setting]]
    chosen: Callable[[str], Setting] | None = None
    splits: tuple[str, ...] = ALL
    every: int = 1
    seeds: int = SEEDS
    tested: bool = True
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] = lambda: None

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]

    def runs_on(self, split: str) -> bool:
        """Whether the arm is for this split."""
        return split == "tiny" or split in self.splits

    def start(self) -> None:
        """Import everything, before the seconds count."""
        self.prepare()
        for package in self.needs:
            import_module(package)


def _grid(tiny: Setting | None = None, **values: tuple[Any, ...]) -> Callable[[str], list[Setting]]:
    """All settings with one of these values each; on "tiny" the first two."""
    found = [dict(zip(values, chosen)) for chosen in product(*values.values())]
    return lambda split: [{**x, **(tiny or {})} for x in found[:2]] if split == "tiny" else found


def _nothing(split: str) -> list[Setting]:
    return []


def _torch(split: str) -> list[Setting]:
    """minitower's recipe with PyTorch's optimizers that take sparse gradients."""
    rates = {
        "SparseAdam": (0.002, 0.005, 0.01, 0.02),
        "Adagrad": (0.05, 0.1, 0.2, 0.5),
    }
    tries = [
        replace(RECIPES[split], optimizer=name, rate=rate).setting
        for name, of_optimizer in rates.items()
        for rate in of_optimizer
    ]
    return [tries[2], tries[5]] if split == "tiny" else tries


def _keras(split: str) -> list[Setting]:
    """In-batch softmax from random rows, as TensorFlow Recommenders' retrieval task trains."""
    base = Recipe(start="random", schedule="constant", epochs=3 if split == "tiny" else 20)
    tries = [
        replace(base, optimizer=name, rate=rate, temperature=temperature).setting
        for name, rates in (("Adagrad", (0.1, 0.5)), ("Adam", (0.003, 0.01)))
        for rate in rates
        for temperature in (0.1, 0.17)
    ]
    return [tries[0], tries[4]] if split == "tiny" else tries


MINITOWER = "minitower"
ALS = "implicit ALS"
ARMS = {
    MINITOWER: Arm(recipe.train, recipe.variants, lambda split: RECIPES[split].setting, every=2),
    "minitower, few epochs": Arm(
        recipe.train,
        _nothing,
        lambda split: SHORT[split].setting,
        ("gowalla-split",),
        tested=False,
    ),
    "minitower, random start": Arm(
        recipe.train,
        _nothing,
        lambda split: replace(RECIPES[split], start="random").setting,
        ("gowalla-split",),
        every=2,
        tested=False,
    ),
    "PyTorch": Arm(
        frameworks.torch_two_tower,
        _torch,
        splits=IDS,
        needs=("torch",),
        prepare=frameworks.prepare_torch,
    ),
    "Keras": Arm(
        frameworks.keras_two_tower,
        _keras,
        splits=IDS,
        every=3,
        needs=("tensorflow", "keras"),
        prepare=frameworks.prepare_keras,
    ),
    ALS: Arm(
        peers.als,
        _grid(
            {"epochs": 3},
            regularization=(3.0, 30.0),
            alpha=(2.0, 8.0, 30.0, 100.0),
            epochs=(20,),
        ),
        needs=("implicit",),
    ),
    "implicit BPR": Arm(
        peers.bpr,
        _grid(
            {"epochs": 3},
            rate=(0.005, 0.01, 0.02, 0.05),
            regularization=(0.0, 0.003),
            epochs=(200,),
        ),
        needs=("implicit",),
        every=20,
    ),
    "LightFM WARP": Arm(
        peers.warp,
        _grid(
            {"epochs": 3},
            rate=(0.02, 0.05),
            alpha=(0.0, 1e-6),
            max_sampled=(10, 30),
            epochs=(90,),
        ),
        needs=("lightfm",),
        every=10,
    ),
    "ItemKNN": Arm(
        peers.item_knn,
        _grid(neighbors=(50, 200), shrinkage=(0.0, 3.0, 30.0, 300.0)),
        seeds=1,
    ),
    "EASE": Arm(
        peers.ease,
        _grid(l2=(30.0, 60.0, 100.0, 200.0, 300.0, 500.0, 1e3, 2e3)),
        splits=DENSE,
        seeds=1,
    ),
    "most popular": Arm(peers.popular, _nothing, lambda split: {}, seeds=1),
}
"""By their names in tables, ours first."""
