"""Recipes: everything that minitower trains with, a dataclass for each split.

A recipe is chosen on validation and then frozen: the first reading of the test ends the search.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import minitower as mt
from minitower.towers.user_history import read_history_option

if TYPE_CHECKING:
    from .units import Watch

DIM = 64
Setting = dict[str, Any]
"""What a line of the results holds: JSON."""


@dataclass(frozen=True)
class Recipe:
    """Everything that is chosen on validation.

    Args:
        temperature, log_sum_weight, correction, decoupled, mask_known: of the in-batch softmax.
        rate, schedule, final_rate: the learning rate, how it falls, and the share at the end.
        epochs: the end of the schedule. Validation may keep an earlier epoch.
        batch_size: clicks of a step.
        shared: uniform negatives that a batch shares; 0: none.
        start: "spectral" or "random".
        user_dropout, history_dropout, weight_decay, max_norm: of
            :class:`minitower.Regularization`.
        optimizer: "row-wise Adam" or "Adagrad"; PyTorch's and Keras's own names for their arms.
        hidden, history, embed_user, id_rate: of the towers.
    """

    temperature: float = 0.1
    log_sum_weight: float = 1.0
    decoupled: bool = False
    mask_known: bool = False
    correction: str = "yi"
    rate: float = 0.02
    schedule: str = "linear"
    final_rate: float = 1e-3
    epochs: int = 20
    batch_size: int = 1024
    shared: int = 0
    start: str = "spectral"
    user_dropout: float = 0.0
    weight_decay: float = 0.0
    max_norm: float = 0.0
    optimizer: str = "row-wise Adam"
    hidden: tuple[int, ...] = ()
    history: str = "none"
    history_dropout: float = 0.0
    embed_user: bool = True
    id_rate: float = 0.01

    @staticmethod
    def of(setting: Setting) -> Recipe:
        """The recipe that a line holds."""
        return Recipe(**{**setting, "hidden": tuple(setting["hidden"])})

    @property
    def setting(self) -> Setting:
        """The recipe as a line holds it."""
        return {**asdict(self), "hidden": list(self.hidden)}

    def model(self, data: mt.Dataset, seed: int) -> mt.TwoTower:
        """The towers before training, at their start."""
        history = None if self.history == "none" else read_history_option(self.history)
        model = mt.TwoTower(data.schema, dim=DIM, hidden=self.hidden, history=history, seed=seed)
        if self.start == "spectral":
            mt.spectral_start(model, data)
        return model

    @property
    def falling(self) -> mt.EpochSchedule:
        """The share of the learning rate, by epoch."""
        return mt.EpochSchedule(self.schedule, self.epochs, final=self.final_rate)


def train(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """minitower: a measure after each epoch, and one of a spectral start."""
    recipe = Recipe.of(setting)
    optimizers = {"row-wise Adam": mt.RowWiseAdam, "Adagrad": mt.Adagrad}
    model = recipe.model(data, seed)
    if recipe.start == "spectral":
        watch.at_start(model)
    trainer = mt.Trainer(
        model,
        data,
        objective=mt.InBatchSoftmax(
            recipe.temperature,
            recipe.correction,
            mask_known=recipe.mask_known,
            log_sum_weight=recipe.log_sum_weight,
            decoupled=recipe.decoupled,
        ),
        optimizer=optimizers[recipe.optimizer](recipe.rate),
        batch_size=recipe.batch_size,
        negatives=mt.shared_negatives(data, recipe.shared) if recipe.shared else None,
        regularization=mt.Regularization(
            recipe.weight_decay, recipe.max_norm, recipe.user_dropout, recipe.history_dropout
        ),
        seed=seed,
    )
    for _ in range(watch.epochs):
        trainer.fit(1, schedule=recipe.falling, validate=False)
        watch.after_epoch(model)


RECIPES = {
    "gowalla-split": Recipe(
        temperature=0.1,
        log_sum_weight=1.2,
        decoupled=True,
        mask_known=True,
        shared=1024,
        epochs=30,
        max_norm=1.0,
    ),
    "ml-1m-split": Recipe(
        temperature=0.17, log_sum_weight=1.06, shared=1024, epochs=20, user_dropout=0.1
    ),
    "ml-1m-date": Recipe(
        temperature=0.3,
        epochs=3,
        start="random",
        schedule="constant",
        optimizer="Adagrad",
        history="1000:others",
        history_dropout=0.9,
        embed_user=False,
    ),
    "tiny": Recipe(temperature=0.2, epochs=3, batch_size=64, shared=8),
}
"""The recipe of each split."""

SHORT = {
    "gowalla-split": replace(RECIPES["gowalla-split"], epochs=3, shared=256),
    "tiny": replace(RECIPES["tiny"], epochs=2),
}
"""Recipes that end early, for accuracy in few seconds."""


def half(epochs: int) -> int:
    """Epochs of a comparison of recipes."""
    return (epochs + 1) // 2


def variants(split: str) -> list[Setting]:
    """The settings that a search tries, with half of the epochs: one change at a time."""
    recipe = RECIPES[split]
    base, omega = replace(recipe, epochs=half(recipe.epochs)), recipe.log_sum_weight
    if split == "tiny":
        changed = [base, replace(base, temperature=0.4)]
    elif split == "ml-1m-date":
        changed = [
            base,
            *(replace(base, temperature=base.temperature + t) for t in (-0.1, 0.1)),
            replace(base, history_dropout=0.8),
            replace(base, rate=base.rate / 2),
            replace(base, epochs=6),
            replace(base, hidden=(128,)),
            replace(base, history="none", embed_user=True, history_dropout=0.0, id_rate=0.3),
        ]
    else:
        changed = [
            base,
            *(replace(base, temperature=round(base.temperature + d, 3)) for d in (-0.02, 0.02)),
            *(replace(base, log_sum_weight=round(omega + d, 3)) for d in (-0.06, 0.1)),
            replace(base, rate=base.rate / 2),
            replace(base, user_dropout=0.0 if base.user_dropout else 0.1),
            replace(base, shared=base.shared // 4),
        ]
    return [recipe.setting for recipe in changed]


PARTS: dict[str, Setting] = {
    "spectral start": {"start": "random"},
    "weight of the log-sum": {"log_sum_weight": 1.0},
    "sum without clicked items": {"decoupled": False, "mask_known": False},
    "shared negatives": {"shared": 0},
    "dropout, decay or bound of rows": {"user_dropout": 0.0, "weight_decay": 0.0, "max_norm": 0.0},
}
"""What a recipe may have beside a plain in-batch softmax, and the values that remove it."""


def parts(split: str) -> list[str]:
    """The parts that the recipe of a split has."""
    setting = RECIPES[split].setting
    return [
        part
        for part, without in PARTS.items()
        if any(setting[name] != value for name, value in without.items())
    ]


def with_parts(split: str, kept: list[str]) -> Setting:
    """The recipe of a split with some of its parts alone, and half of its epochs."""
    setting = RECIPES[split].setting
    setting["epochs"] = half(setting["epochs"])
    for part in parts(split):
        if part not in kept:
            setting |= PARTS[part]
    return setting


def settings_of_parts(split: str) -> list[Setting]:
    """Plain, each part alone, all but each part, and the recipe."""
    own = parts(split)
    kept = [[], *([part] for part in own), *([p for p in own if p != part] for part in own), own]
    return list({str(s): s for s in (with_parts(split, some) for some in kept)}.values())
