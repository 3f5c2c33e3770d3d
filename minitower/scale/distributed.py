"""Encode items and count clicks on many machines with Dask (extra ``dask``). Chapter 21.

The input is a Dask dataframe, or a folder of Parquet files that all workers can read. Workers
receive partitions and the path of the model. The Dask client, passed or active, chooses the
machines.

Results equal those of one machine: counts exactly, mutual information and vectors up to the
order of float additions.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError, Place, show
from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.log import read_ids
from minitower.data.positives import must_be_stated
from minitower.data.rules import parse_rule
from minitower.data.schema import Field, MultiValued
from minitower.data.table import Table
from minitower.data.value_counts import (
    ValueCounts,
    compared_fields,
    compared_values,
    needs_edges,
    quantile_edges,
)
from minitower.evaluation.encode import encode
from minitower.formulas.arrays import Array, Floats
from minitower.formulas.mutual_information import Cooccurrences, count_together
from minitower.scale.partitions import (
    Part,
    blocks,
    column_names,
    computed,
    dask_modules,
    folded,
    partitions,
    total,
)
from minitower.scale.vector_files import UNVERSIONED, VectorFiles, write_vectors
from minitower.store.folder import MANIFEST, SavedFolder, fingerprint
from minitower.store.model_files import read_model, read_schema, saved_model
from minitower.store.new_folder import new_folder
from minitower.towers.two_tower import TwoTower


def encode_items(
    items: Any,
    model: str | Path,
    folder: str | Path,
    *,
    version: int | None = None,
    client: Any = None,
) -> VectorFiles:
    """Encode all items: one file of vectors for each partition.

    The folder appears only when it is complete, and replaces an older one. After an error
    nothing has changed. A second call gives the same files.

    Args:
        items: raw columns of the model's schema: a Dask dataframe, or a folder of Parquet
            files.
        model: folder of a model or a store that all workers can read.
        folder: the output folder; all workers can write to it.
        version: of a store, as in :func:`~minitower.store.model_files.load_model`.
        client: of Dask; None is the active one.

    Raises:
        DataError: a value cannot be read, or an id occurs twice, in one partition or in two.
            The message names partition, row and column.
        ValueError: no client is active.
        ModuleNotFoundError: Dask or pyarrow is not installed; names the extra.
    """
    saved = saved_model(model, version)
    parts, loaded = partitions(items), dask_modules().delayed(_loaded)(read_model, *_pinned(saved))
    schema = read_schema(saved)
    known = schema.item.vocabulary(schema.schema.item_id.name).values
    number = None if saved.kind == "model" else int(saved.folder.name)  # the name of its folder
    dim, strings = saved.content["config"]["dim"], known.dtype.kind == "U"
    content = {"model": _pinned(saved)[2], "version": number, "dim": dim, "text": strings}
    with new_folder(folder, "vectors", content) as place:
        version = UNVERSIONED if number is None else number
        stated = {"dim": dim, "string_ids": strings, "version": version}
        names = computed(parts.map(_encode, loaded, folder=str(place), **stated), client)
        for left in place.glob(".*"):  # from workers that died
            left.unlink(missing_ok=True)
        content["items"] = _all_different(place, names, client)
    return VectorFiles(folder)


def click_counts(
    clicks: Any, column: str = "item_id", *, positive: str | None = None, client: Any = None
) -> ValueCounts:
    """Count the clicks of each item; the ``shares`` of the result are the items' popularity.

    On training clicks ``counts_of(data.items.ids)`` equals ``data.item_counts`` on one machine.
    The ids and counts of all items must fit into memory; the clicks need not.

    Args:
        clicks: a Dask dataframe, or a folder of Parquet files.
        column: of the ids to count.
        positive: the rule of positives, such as "rating >= 4", or "all". None means "all",
            and is refused where a column such as "rating" could define positives.
        client: of Dask; None is the active one.

    Raises:
        DataError: an id is missing, negative, or neither an integer nor a string; one
            partition holds numbers and another strings; or the rule must be stated.
        ValueError, ModuleNotFoundError: as :func:`encode_items`.
    """
    parts = partitions(clicks)
    if positive is None and (reason := must_be_stated(column_names(clicks))):
        raise DataError(f"clicks: {reason}")
    positive = None if positive == "all" else positive
    counts = folded(parts, client, _count_ids, column=column, positive=positive)
    return ValueCounts.of(np.empty(0, np.int64)) if counts is None else counts


def pairwise_mutual_information(
    items: Any,
    model: str | Path,
    *,
    clicks: ValueCounts | None = None,
    version: int | None = None,
    client: Any = None,
) -> tuple[list[str], Floats]:
    """The mutual information of every pair of an item's fields.

    Equal to :func:`minitower.training.views.pairwise_mutual_information` of all items.
    Numbers without buckets need one more pass, for their quantiles. The joint counts of all
    fields must fit into memory.

    Args:
        items, model, version: as in :func:`encode_items`; only the schema of the model counts.
        clicks: weight of each item, its number of clicks; None: every item counts once.
        client: of Dask; None is the active one.

    Raises:
        DataError, ValueError, ModuleNotFoundError: as :func:`encode_items`.
    """
    saved = saved_model(model, version)
    parts, schema = partitions(items), dask_modules().delayed(_loaded)(read_schema, *_pinned(saved))
    fields = compared_fields(read_schema(saved).item.inputs)
    names = [field.name for field in fields]
    if not fields:
        return names, np.empty((0, 0))
    cut = [field for field in fields if needs_edges(field)]
    cuts = folded(parts, client, _count_numbers, schema, fields=cut) if cut else None
    edges = {f.name: quantile_edges(counts, f) for f, counts in zip(cut, cuts or ())}
    counts = folded(parts, client, _count_values, schema, clicks, fields=fields, edges=edges)
    if counts is None:
        raise DataError("items: the table has no rows")
    return names, counts.information()


def _encode(part: Part, model: TwoTower, *, folder: str, **stated: Any) -> str:
    """Write the vectors of a partition; returns the name of the partition."""
    number, name, _ = part
    tables = _tables(part, model.encoders)
    vectors = ((table.ids, encode(model.item, table)) for table in tables)
    write_vectors(Path(folder) / f"part-{number:05d}.parquet", vectors, **stated)
    return name


def _count_ids(part: Part, *, column: str, positive: str | None = None) -> ValueCounts | None:
    rule = None if positive is None else parse_rule(positive)
    needed = () if rule is None else rule.comparisons
    names = list(dict.fromkeys([column, *(one.column for one in needed)]))

    def counted(columns: Columns) -> ValueCounts:
        ids = read_ids(columns, column)
        return ValueCounts.of(ids if rule is None else ids[rule.apply(columns)])

    return total(map(counted, blocks(part, names)))


def _count_numbers(
    part: Part, schema: FeatureEncoders, *, fields: list[Field]
) -> tuple[ValueCounts, ...] | None:
    def counted(table: Table) -> tuple[ValueCounts, ...]:
        return tuple(ValueCounts.of(np.asarray(table.columns[field.name])) for field in fields)

    return total(map(counted, _tables(part, schema)))


def _count_values(
    part: Part,
    schema: FeatureEncoders,
    clicks: ValueCounts | None,
    *,
    fields: list[Field],
    edges: dict[str, Array],
) -> Cooccurrences | None:
    def counted(table: Table) -> Cooccurrences:
        values = [compared_values(table.columns, f, edges.get(f.name)) for f in fields]
        weights = None if clicks is None else clicks.counts_of(table.ids)
        return count_together(values, weights=weights)

    return total(map(counted, _tables(part, schema)))


def _tables(part: Part, schema: FeatureEncoders) -> Iterator[Table]:
    """The encoded items of a partition, block by block."""
    for columns in blocks(part, [field.name for field in schema.item.fields]):
        for field in schema.item.fields:
            if isinstance(field, MultiValued):
                _refuse_lists_as_strings(columns[field.name], columns.at(field.name))
        yield schema.item.encode(columns, read_ids(columns, schema.schema.item_id.name))


def _refuse_lists_as_strings(values: Array, place: Place) -> None:
    """Refuse lists that Dask has turned into strings: all their values would be unknown."""
    for row, value in enumerate(values):
        if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
            raise place.error(
                f"a list became the string {show(value)}; keep lists as lists with "
                "dask.config.set({'dataframe.convert-string': False}), or write 'a b'",
                row,
            )


def _all_different(place: Path, names: list[str], client: Any) -> int:
    """The number of items in the files of vectors; refuses an id that occurs twice."""
    counts = click_counts(place, "id", client=client)
    if not len(counts.values):
        raise DataError("items: the table has no rows")
    if counts.counts.max() > 1:
        twice = counts.values[counts.counts.argmax()]
        where = [
            name
            for name, path in zip(names, sorted(place.iterdir()), strict=True)
            if any(
                (columns["id"] == twice).any() for columns in blocks((0, name, str(path)), ["id"])
            )
        ]
        raise DataError(f"{' and '.join(where)}: the id {show(twice)} occurs twice")
    return len(counts.values)


def _pinned(saved: SavedFolder) -> tuple[str, str, str]:
    """Path, kind and hash: a worker opens this folder, and no later one of the same name."""
    sha256 = fingerprint(saved.folder / MANIFEST)["sha256"]
    return str(saved.folder.absolute()), saved.kind, sha256


def _loaded(read: Callable[[SavedFolder], Any], folder: str, kind: str, sha256: str) -> Any:
    return read(SavedFolder(folder, kind, sha256=sha256))
