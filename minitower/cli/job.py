"""The options of a training job: the same names as flags and as keys of a TOML job file."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from minitower.cli import options
from minitower.cli.choices import NEGATIVES, NEGATIVES_OF, OBJECTIVES
from minitower.cli.job_file import read_toml as read_toml
from minitower.cli.memory import check_step
from minitower.data import DataError, Dataset
from minitower.data.errors import show
from minitower.data.schema import field_to_json
from minitower.towers.two_tower import MAX_WIDTH, TwoTower
from minitower.training.negatives import MixedNegatives, Negatives
from minitower.training.recipe import OPTIMIZERS
from minitower.training.self_supervised import AUGMENTS, SelfSupervised
from minitower.training.trainer import Progress, Trainer

P = ParamSpec("P")
T = TypeVar("T")


def _option(read: Callable[[Any], Any], default: Any, help: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"read": read, "help": help, "metavar": metavar})


@dataclass(frozen=True)
class Job:
    """How data is read, and what is trained on it how. The defaults are the CLI's."""

    positive: str | None = _option(
        options.text,
        None,
        "which interactions are positives, such as 'rating >= 4', or 'all' (default: told by the "
        "columns, and said)",
        "RULE",
    )
    split: str | None = _option(
        options.split,
        None,
        "time:0.1,0.1 or random:0.1,0.1 (shares of validation and test), last:1,1 (per user), "
        "given:COLUMN (default: time where there are timestamps, else random)",
    )
    valid: float | None = _option(
        options.number,
        None,
        "share of train to validate on, for split files that come without valid.txt",
        "SHARE",
    )
    override: Mapping[str, options.Override] | None = _option(
        options.overrides,
        None,
        "read a column of atomic files as token, token_seq, float or none, or as a field such "
        "as '{kind=\"continuous\", impute=true}'; may be repeated",
        "COLUMN=TYPE",
    )
    dim: int = _option(options.integer(1, MAX_WIDTH), 64, "length of the vectors", "D")
    hidden: tuple[int, ...] = _option(
        options.widths,
        (128,),
        "widths of the hidden layers, such as 128,64 ('' for none)",
        "WIDTHS",
    )
    similarity: str = _option(
        options.one_of("cosine", "inner_product"), "cosine", "cosine or inner_product"
    )
    residual: bool = _option(options.flag, False, "add the id's embedding to each tower's output")
    objective: str = _option(options.one_of(*OBJECTIVES), "in-batch", ", ".join(OBJECTIVES), "NAME")
    negatives: str | None = _option(
        options.negatives,
        None,
        "beside the batch's own: uniform:K, popular:K (clicks^0.75) or mined:K (from the model's "
        "own recall) for each pair, several joined by +, or shared:N uniform ones a batch, or none "
        "(default: none in-batch, uniform:2 pointwise, uniform:1 pairwise, uniform:10 listwise)",
        "KIND:K",
    )
    positive_power: float = _option(
        options.share(),
        1.0,
        "draw positives in proportion to their item's clicks^POWER",
        "POWER",
    )
    temperature: float = _option(
        options.temperature,
        0.07,
        "temperature of a softmax; the logistic losses bend with 1 / temperature",
        "TAU",
    )
    correction: str = _option(
        options.one_of("yi", "calibrated", "mixed", "none"),
        "yi",
        "logQ correction of in-batch: yi, calibrated, mixed or none",
    )
    strength: float = _option(options.number, 1.0, "strength of the correction, 0 to 1", "BETA")
    margin: float = _option(options.positive, 0.1, "lead that pairwise-hinge asks for", "M")
    bank: int = _option(options.integer(0), 8192, "vectors that cross-batch remembers", "N")
    self_supervised: str = _option(
        options.one_of("none", *AUGMENTS),
        "none",
        "how two views of an item come about, which should find each other: mask, dropout, "
        "complementary, correlated, or one of them and +dropout; none is without",
        "VIEWS",
    )
    alpha: float = _option(options.number, 0.1, "weight of the self-supervised loss", "ALPHA")
    self_temperature: float = _option(
        options.temperature, 0.1, "temperature of the self-supervised loss", "TAU"
    )
    self_batch_size: int = _option(
        options.integer(2), 1024, "items of which a step makes views", "N"
    )
    self_sampling: str = _option(
        options.one_of("uniform", "clicks"), "uniform", "draw those items uniformly or by clicks"
    )
    hidden_fields: int | None = _option(
        options.integer(1), None, "fields that mask hides (default: half of them)", "N"
    )
    dropped_values: float = _option(
        options.share(zero=False, one=False),
        0.5,
        "share of the values of a field that dropout drops",
        "SHARE",
    )
    mask_per_item: bool = _option(
        options.flag, False, "choose what to hide for each item, not once for a batch"
    )
    optimizer: str = _option(options.one_of(*OPTIMIZERS), "adagrad", ", ".join(OPTIMIZERS))
    learning_rate: float = _option(options.positive, 0.05, "learning rate", "RATE")
    batch_size: int = _option(options.integer(1), 1024, "positives per step", "N")
    epochs: int = _option(options.integer(1), 10, "passes over the training positives", "N")
    patience: int | None = _option(
        options.integer(1), None, "stop after so many epochs that are not the best so far", "N"
    )
    metric: str = _option(
        options.metric, "recall@20", "what the best epoch is best in, on validation", "NAME@K"
    )
    refit: bool = _option(
        options.flag,
        True,
        "after measuring, train once more on all interactions for the epochs that validation "
        "chose, and publish that model",
    )
    seed: int = _option(
        options.integer(0),
        0,
        "same seed, same model, bit for bit: on one thread of the same kind of CPU",
        "SEED",
    )

    def model(self, data: Dataset) -> TwoTower:
        """The model, before training.

        Raises:
            DataError: the options do not make one.
        """
        return checked(
            TwoTower,
            data.schema,
            dim=self.dim,
            hidden=self.hidden,
            similarity=self.similarity,  # type: ignore[arg-type]
            residual=self.residual,
            seed=self.seed,
        )

    def trainer(
        self, model: TwoTower, data: Dataset, on_progress: Callable[[Progress], object]
    ) -> Trainer:
        """Everything that training needs, put together.

        Raises:
            DataError: the options do not go together, or a step would take too much memory.
        """
        check_step(self, model, data)
        return checked(
            Trainer,
            model,
            data,
            objective=checked(OBJECTIVES[self.objective], self),
            optimizer=checked(OPTIMIZERS[self.optimizer], self.learning_rate),
            batch_size=self.batch_size,
            negatives=checked(self._negatives, model, data),
            positive_power=self.positive_power,
            self_supervised=self.views(),
            seed=self.seed,
            on_progress=on_progress,
        )

    def _negatives(self, model: TwoTower, data: Dataset) -> Negatives | None:
        said = self.negatives or NEGATIVES_OF[self.objective]
        if said is None or said == "none":
            return None
        parts = []
        for kind, k in options.parse_negatives(said):
            try:
                parts.append(NEGATIVES[kind](model, data, k))
            except ValueError as error:
                raise DataError(f"--negatives {kind}:{k}: {error}") from None
        return parts[0] if len(parts) == 1 else MixedNegatives(parts)

    def views(self) -> SelfSupervised | None:
        """What is added to the loss, if anything."""
        if self.self_supervised == "none":
            return None
        return checked(
            SelfSupervised,
            augment=self.self_supervised,  # type: ignore[arg-type]
            alpha=self.alpha,
            batch_size=self.self_batch_size,
            temperature=self.self_temperature,
            hidden=self.hidden_fields,
            dropout=self.dropped_values,
            per_item=self.mask_per_item,
            sampling=self.self_sampling,  # type: ignore[arg-type]
        )

    def how_to_read(self) -> dict[str, Any]:
        """The options that decide what the data set is, as JSON that :func:`read_job` takes."""
        overrides = {
            name: field_to_json(kind) if kind is not None and not isinstance(kind, str) else kind
            for name, kind in (self.override or {}).items()
        }
        said = {
            "positive": self.positive,
            "split": self.split,
            "valid": self.valid,
            "seed": self.seed,
            "override": {name: kind or "none" for name, kind in overrides.items()} or None,
        }
        return {name: value for name, value in said.items() if value is not None}

    def how_to_train(self) -> dict[str, Any]:
        """The options of a training step, as JSON that :func:`read_job` takes."""
        said = {name: getattr(self, name) for name in TRAINING}
        return {name: value for name, value in said.items() if value is not None}


OPTIONS = {option.name: option for option in dataclasses.fields(Job)}
READING = ("positive", "split", "valid", "override", "seed")
MODEL = ("dim", "hidden", "similarity", "residual")
_FITTING = ("epochs", "patience", "refit")
TRAINING = [n for n in OPTIONS if n not in (*READING, *MODEL, *_FITTING)] + ["seed"]
"""What a nightly update trains by, too."""


def flag(name: str) -> str:
    """What an option is called on the command line."""
    return "--" + name.replace("_", "-")


def read_job(typed: Mapping[str, Any], *files: tuple[str, Mapping[str, Any]]) -> Job:
    """A job out of what was typed and, below that, of tables read from files.

    Args:
        typed: option -> text of its flag; other keys are left alone.
        files: (what to call it, option -> value), later ones weaker.

    Raises:
        DataError: a key of a file that is no option, or a value that cannot be read.
    """
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        for where, table in (("", typed), *files):
            if name in table:
                said = f"{where}: {name}" if where else flag(name)
                try:
                    values[name] = option.metadata["read"](table[name])
                except ValueError as error:
                    raise DataError(f"{said}: {error}, got {show(table[name])}") from None
                break
    for where, table in files:
        for key in table:
            if key not in OPTIONS:
                raise DataError(f"{where}: unknown key '{key}'; known: {', '.join(OPTIONS)}")
    return Job(**values)


def checked(make: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Make something out of options; what it refuses is an error of the user's input."""
    try:
        return make(*args, **options)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from None
