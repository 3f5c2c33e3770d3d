"""Publish from a trainer to a store: the model, and all that the next update needs. Chapter 15."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.evaluation.report import Report
from minitower.search.index import Index
from minitower.store.full_version import Store, publish_model
from minitower.store.provenance import provenance
from minitower.training.trainer import Trainer
from minitower.updating.streams import Cursor, content_hashes


def publish(
    trainer: Trainer,
    folder: str | Path,
    *,
    index: str | Index | None = None,
    report: Report | None = None,
    logs: str | Path | None = None,
    cursor: Cursor | None = None,
    notes: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    parent: int | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Store:
    """Publish the model of a trainer; returns the new version, as opened.

    The version records how it was made: the rule of positives, the column of times, the
    options of the training step, the optimizer with its state, and which clicks it has
    learned. :func:`~minitower.updating.full_update.full_update` goes on from there.

    Args:
        trainer: after ``fit`` or ``refit``.
        folder, index, metrics, parent, on_progress: as in :func:`publish_model`.
        report: of :func:`evaluate` on held-out interactions, before ``refit``.
        logs: the folder of click logs that the data was made of: an update skips these logs.
            Without it, an update skips the clicks up to the last time in the training data.
        cursor: of the click stream whose events were learned, instead of `logs`.
        notes: JSON of the caller's own, under names that the record does not use.

    Raises:
        DataError: the record uses a name of the notes, or as :func:`publish_model`.
    """
    if not isinstance(trainer, Trainer):
        raise DataError(
            f"publish takes a Trainer, got {type(trainer).__name__}; "
            "publish_model(model, data, folder) takes the parts"
        )
    of_logs = None if logs is None else content_hashes(logs)
    made = provenance(trainer, report=report, logs=of_logs)
    if cursor is not None:
        made["cursor"] = cursor.to_state()
    for name in made.keys() & (notes or {}).keys():
        raise DataError(f"notes: the name '{name}' is taken by the version's own record")
    return publish_model(
        trainer.model,
        trainer.data,
        folder,
        index=index,
        notes=made | dict(notes or {}),
        metrics=metrics,
        optimizer=trainer.optimizer,
        parent=parent,
        on_progress=on_progress,
    )
