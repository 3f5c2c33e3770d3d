"""``recall`` and ``similar``: lists of items for users, and for an item. Chapters 5 and 15."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.arguments import StorePath
from minitower.cli.terminal import ItemsBar, row, say, write
from minitower.data import Categorical, DataError, FeatureEncoder, MultiValued
from minitower.data.errors import Place, show
from minitower.data.options import Option
from minitower.data.schema import HISTORY
from minitower.data.table import Table
from minitower.scale.list_files import check_ending, json_lines, write_lists
from minitower.store.lists import Lists, list_blocks
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower
from minitower.updating.entity_lists import read_ids

Length = Annotated[int, Option("number of items", 1)]


def recall(
    store: StorePath,
    user: Annotated[str | None, Option("known or not", metavar="USER_ID")] = None,
    *,
    all_users: Annotated[bool, Option("recall for all users of the store")] = False,
    users: Annotated[
        Path | None,
        Option(
            "recall for the users in a file: one id a line, or a table with the column of user "
            "ids: .csv, .jsonl or .parquet"
        ),
    ] = None,
    out: Annotated[
        Path | None, Option("write the lists to a file: .parquet, .csv or .jsonl")
    ] = None,
    profile: Annotated[
        Sequence[str],
        Option(
            "values of the user's features, instead of the stored ones; history=ID,ID,... adds "
            "clicks, oldest first (or a JSON list, where ids hold commas)",
            metavar="KEY=VALUE",
        ),
    ] = (),
    k: Length = 10,
    items: Annotated[
        Path | None,
        Option(
            "recall only the items in a file: one id a line, or a table with the column of item "
            "ids: .csv, .jsonl or .parquet"
        ),
    ] = None,
    include_seen: Annotated[bool, Option("also recall items the user has seen")] = False,
    approximate: Annotated[
        bool,
        Option(
            "for many users, search the index of the store, as for one user, instead of "
            "scoring all items"
        ),
    ] = False,
    json_: Annotated[bool, Option("print JSON, an object a line", name="json")] = False,
) -> None:
    """Recall items for one user, or for many.

    For one user, print id, score and name of the items, best first. For a user that training did
    not know, give the known features: --profile gender=F age=25. For many users, write a table of
    user, item, score and rank to --out and print the path, or print the table.
    """
    if [user is not None, all_users, users is not None].count(True) != 1:
        raise DataError("recall: name one of USER_ID, --all-users and --users FILE")
    if profile and user is None:
        raise DataError("--profile belongs to one user: name USER_ID")
    if approximate and items is not None:
        raise DataError("--items scores the allowed items exactly: leave out --approximate")
    if out is not None:
        check_ending(out)
    recommender = Recommender.open(store)
    opened = recommender.store
    encoders = opened.model.encoders
    ids = None if users is None else read_ids("users", users, encoders.user, opened.users)
    features = None
    if user is not None:
        ids = [_parsed(opened.users, user, "USER_ID")]
        features = _profile(profile, opened.model)
        if opened.users.rows_of(ids)[0] < 0:
            source = "from the profile alone" if features else "with default features"
            say(f"user {user!r} is unknown: recalling {source}")
    elif ids is not None:
        _say_unknown("users", ids, opened.users)
    allowed = None if items is None else read_ids("items", items, encoders.item, opened.items)
    if allowed is not None:
        _say_unknown("items", allowed, opened.items)
    with ItemsBar("recalling", "user") as bar:
        blocks = list_blocks(
            opened,
            ids,
            k,
            profiles=None if features is None else [features],
            items=allowed,
            exclude_seen=not include_seen,
            exact=(user is None and not approximate) or allowed is not None,
            on_progress=None if user is not None else bar,
        )
        if out is not None:
            write_lists(out, blocks)
            row(out)
        else:
            _print(blocks, recommender, json_, user is not None)


def similar(
    store: StorePath,
    item: Annotated[str, Option("an item of the store", metavar="ITEM_ID")],
    *,
    k: Length = 10,
    json_: Annotated[bool, Option("print JSON, an object a line", name="json")] = False,
) -> None:
    """Print id, cosine and name of the items that are most similar to an item, best first."""
    recommender = Recommender.open(store)
    item_id = _parsed(recommender.store.items, item, "ITEM_ID")
    ids, scores = recommender.similar(item_id, k)
    _print_items(recommender, ids.tolist(), scores.tolist(), json_)


def _print(blocks: Iterator[Lists], recommender: Recommender, as_json: bool, one: bool) -> None:
    """Print the items of one user, or the table of many."""
    for block in blocks:
        if one:
            _print_items(recommender, block["item"].tolist(), block["score"].tolist(), as_json)
        elif as_json:
            write(json_lines(block))
        else:
            for user, item, score, rank in zip(*(block[n].tolist() for n in block), strict=True):
                row(user, item, f"{score:.6f}", rank)


def _print_items(
    recommender: Recommender, ids: list[Any], scores: list[float], as_json: bool
) -> None:
    for item, score, name in zip(ids, scores, recommender.names(ids), strict=True):
        if as_json:
            write(json.dumps({"item": item, "score": score, "name": name}) + "\n")
        else:
            row(item, f"{score:.6f}", name)


def _parsed(table: Table, typed: str, what: str) -> int | str:
    try:
        return table.parse_id(typed)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None


def _say_unknown(what: str, ids: list[Any], table: Table) -> None:
    if unknown := int((table.rows_of(ids, Place(what)) < 0).sum()):
        served = "served with default features" if what == "users" else "ignored"
        say(f"{unknown:,} of {len(ids):,} {what} are unknown: {served}")


def _profile(pairs: Sequence[str], model: TwoTower) -> dict[str, Any]:
    """KEY=VALUE strings as values of the type that training saw."""
    encoder, items = model.encoders.user, model.encoders.item
    fields = {field.name: field for field in encoder.fields}
    profile: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise DataError(f"--profile: expected KEY=VALUE, got {pair!r}")
        field = fields.get(name)
        if isinstance(field, MultiValued):
            cut = None if field.separator == " " else field.separator
            profile[name] = _as_seen(name, value.split(cut), encoder)
        elif name == HISTORY and model.history is not None:
            key = model.encoders.schema.item_id.name
            profile[name] = _as_seen(key, _ids(value), items)
        elif isinstance(field, Categorical):
            profile[name] = _as_seen(name, [value], encoder)[0]
        else:
            profile[name] = value
    return profile


def _ids(value: str) -> list[str]:
    """Ids between commas; or a JSON list, for ids that hold commas."""
    if not value.startswith("["):
        return [id_ for id_ in value.split(",") if id_]
    try:
        return [str(id_) for id_ in json.loads(value)]
    except (ValueError, RecursionError):
        raise DataError(
            f"--profile: expected ids or a JSON list of ids, got {show(value)}"
        ) from None


def _as_seen(name: str, values: list[str], encoder: FeatureEncoder) -> list[Any]:
    """Integers where training saw integers; prints values that training never saw.

    A column of booleans is one of 1 and 0.
    """
    seen = encoder.vocabulary(name).values
    integers = seen.dtype.kind == "i"
    if integers and set(seen.tolist()) <= {0, 1}:
        values = [{"true": "1", "false": "0"}.get(v.lower(), v) for v in values]
    typed = [int(v) if integers and v.removeprefix("-").isdecimal() else v for v in values]
    for value in set(typed) - set(seen.tolist()) - {""}:
        say(f"profile: training has not seen {name}={value}")
    return typed
