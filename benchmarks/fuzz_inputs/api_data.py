"""Targets: from columns and files to data sets."""

from __future__ import annotations

from typing import Any

from target import Target, valid_data, valid_model, valid_schema, valid_tables
from world import log

import minitower as mt
from minitower.updating.streams import ClickStream, EventFields, write_events


def targets() -> dict[str, Target]:
    """From columns and files to data sets."""

    def from_columns(**arguments: Any) -> object:
        return mt.Dataset.from_columns(valid_schema(), **arguments)

    def split(kind: type[Any], **arguments: Any) -> object:
        return mt.Dataset.from_columns(valid_schema(), **valid_tables(), split=kind(**arguments))

    def schema(**arguments: Any) -> object:
        kinds = {"id": mt.Id, "categorical": mt.Categorical}
        kinds |= {"multi": mt.MultiValued, "continuous": mt.Continuous}  # type: ignore[dict-item]
        made = kinds[arguments.pop("_kind")](**arguments)
        name = {"continuous": "age", "categorical": "gender"}.get(made.kind)
        sides = {"user": [mt.Id("user_id")], "item": [mt.Id("item_id")]}
        if isinstance(made, mt.Id):
            sides["user"] = [made]
        else:
            sides["user" if name else "item"].append(made)
        data = mt.Dataset.from_columns(mt.Schema(**sides), **valid_tables())
        return valid_model(data)

    def field_of(kind: str, **more: Any) -> Target:
        return Target(
            lambda **arguments: schema(_kind=kind, **arguments),
            lambda: dict(more),
            data=("name",),
            places=("field", str(more["name"])),
            weight=0.7,
        )

    def rule(positive: str) -> object:
        return mt.Dataset.from_columns(valid_schema(), **valid_tables(), positive=positive)

    def next_day(**arguments: Any) -> object:
        return mt.next_day(valid_data(), **arguments)

    def events(**arguments: Any) -> object:
        path = arguments.pop("path")
        return write_events(path, arguments.pop("columns"), EventFields(**arguments))

    def stream(size: Any, **arguments: Any) -> object:
        fields = EventFields(value="rating", user_type="string", item_type="string")
        return list(ClickStream(fields=fields, **arguments).batches(size))

    plain = {name: log(0, 0, "{}", "{}")[name] for name in ("user_id", "item_id", "timestamp")}
    all_tables = ("interactions", "users", "items")
    found = {
        "Dataset.from_columns": Target(
            from_columns,
            lambda: {
                **valid_tables(),
                "positive": "rating >= 2",
                "timestamp": "timestamp",
                "split": mt.TimeSplit(),
                "item_name": "title",
                "weight": "rating",
                "exposed": None,
            },
            data=all_tables,
            tables=all_tables,
            weight=9,
            places=all_tables,
        ),
        "next_day": Target(
            next_day,
            lambda: valid_tables() | {"item_name": "title"},
            data=all_tables,
            tables=all_tables,
            places=all_tables,
            weight=3,
        ),
        "parse_rule": Target(
            rule, lambda: {"positive": "rating >= 4"}, places=("rule",), weight=0.5
        ),
        "parse_rule and": Target(
            rule,
            lambda: {"positive": "rating >= 4 and (user_id = u1 or rating = 5)"},
            places=("rule",),
            weight=0.5,
        ),
        "retire": Target(
            lambda item_ids: mt.retire(valid_data(), item_ids),
            lambda: {"item_ids": ["i1", "i2"]},
            columns=("item_ids",),
            places=("id",),
        ),
        "Id": field_of("id", name="user_id", dim=4, default_rate=0.1, embed=True),
        "Categorical": field_of("categorical", name="gender", dim=4, default_rate=0.1),
        "MultiValued": field_of(
            "multi", name="genres", dim=4, pool="mean", default_rate=0.1, separator=" "
        ),
        "Continuous": field_of(
            "continuous",
            name="age",
            transform="bucketise",
            buckets=4,
            dim=4,
            impute=True,
            default_rate=0.1,
        ),
        "Schema": Target(
            lambda user, item: mt.Schema(user=user, item=item),
            lambda: {"user": [mt.Id("user_id")], "item": [mt.Id("item_id")]},
            weight=0.5,
        ),
        "write_events": Target(
            events,
            lambda: {
                "path": "log.jsonl",
                "columns": plain,
                "user_id": "user_id",
                "item_id": "item_id",
                "timestamp": "timestamp",
            },
            data=("columns",),
            tables=("columns",),
            places=("events", "log"),
            weight=2,
        ),
        "write_events csv": Target(
            events,
            lambda: {
                "path": "log.csv",
                "columns": log(0, 0),
                "user_type": "string",
                "item_type": "string",
                "value": "rating",
            },
            data=("columns",),
            tables=("columns",),
            places=("events", "log"),
            weight=2,
        ),
        "ClickStream": Target(
            stream,
            lambda: {
                "folder": "clicks",
                "size": 100,
                "allowed_lateness": 60.0,
                "max_error_rate": 0.1,
                "min_errors": 3,
                "max_clock_skew": 86400.0,
                "dead_letter_file": "aside.jsonl",
            },
            uses=("clicks",),
            places=("batch", "aside", "dead_letter_file"),
        ),
    }
    for name, kind, more in (
        ("TimeSplit", mt.TimeSplit, {"valid": 0.1, "test": 0.1}),
        (
            "TimeSplit dates",
            mt.TimeSplit,
            {"test_from": "2020-09-13T13:00", "validation_from": 1_600_000_060},
        ),
        ("RandomSplit", mt.RandomSplit, {"valid": 0.1, "test": 0.1, "seed": 0}),
        ("LastSplit", mt.LastSplit, {"valid": 1, "test": 1}),
        ("GivenSplit", mt.GivenSplit, {"column": "rating"}),
    ):
        found[name] = Target(
            lambda kind=kind, **arguments: split(kind, **arguments),
            lambda more=more: dict(more),
            weight=0.5,
        )
    return found
