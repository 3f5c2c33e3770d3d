"""Clicks that are newer than a store are measured as the store serves them."""

import csv
import json

import numpy as np
import pytest

import minitower as mt
from minitower.cli import main
from minitower.data.layouts import Reading
from minitower.data.source import open_folder
from minitower.updating.newer_data import newer_dataset

ITEMS, USERS = 40, 25


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def clicks(seed, n, start, users=USERS):
    rng = np.random.default_rng(seed)
    for i in range(n):
        user = int(rng.integers(users))
        item = (user * 3 + int(rng.integers(8))) % ITEMS
        yield {"user_id": f"u{user}", "item_id": item, "timestamp": start + i}


@pytest.fixture(scope="module", params=["ids", "features and history"])
def places(request, tmp_path_factory):
    """A store, and a folder of later clicks without tables."""
    folder = tmp_path_factory.mktemp("newer")
    write(folder / "data" / "interactions.csv", list(clicks(0, 300, 1e9)))
    flags = ["--epochs", "1", "--dim", "8", "--index", "exact"]
    if request.param != "ids":
        users = [{"user_id": f"u{u}", "city": "abc"[u % 3]} for u in range(USERS)]
        items = [{"item_id": i, "kind": "xyz"[i % 3], "tags": f"{i % 4}|t{i % 5}"}
                 for i in range(ITEMS)]  # fmt: skip
        write(folder / "data" / "users.csv", users)
        write(folder / "data" / "items.csv", items)
        flags += ["--history", "6"]
    assert main(["train", str(folder / "data"), "--out", str(folder / "s"), *flags]) == 0
    later = [
        *clicks(1, 60, 2e9, USERS + 3),
        {"user_id": "u1", "item_id": 99, "timestamp": 2e9 + 60},
    ]
    write(folder / "newer" / "interactions.csv", later)
    return folder, later


def test_evaluate__newer_clicks_are_measured_as_they_are_served(places, capsys):
    """Also users and items that the store does not know: 99 is one, and is to be found."""
    folder, later = places
    capsys.readouterr()
    flags = ["--split", "time:0.1,0.3", "--json", "-k", "5", "--popular-only"]
    assert main(["evaluate", str(folder / "s"), str(folder / "newer"), *flags]) == 0
    out, err = capsys.readouterr()
    assert "all clicks are new: catalogue, seen items and histories of the store count" in err
    served = mt.Recommender.open(folder / "s")
    store, cut = served.store, len(later) - round(0.3 * len(later))
    reads_history = store.model.history is not None
    recalls = []
    for user in sorted({row["user_id"] for row in later[cut:]}):
        before = [row["item_id"] for row in later[:cut] if row["user_id"] == user]
        (row,) = store.users.rows_of([user])
        seen = set(before) | set(store.items.ids[store.seen.row(row)].tolist() if row >= 0 else ())
        wanted = {row["item_id"] for row in later[cut:] if row["user_id"] == user} - seen
        # A profile moves repeated items to the end of a history; evaluation keeps each click.
        model = store.model
        features = store.users.take([row]) if row >= 0 else model.encoders.user.encode_profile({})
        if reads_history:
            old = features["history"].row(0).tolist() if row >= 0 else []
            encode = model.encoders.item.vocabulary("item_id").encode
            own = [int(r) for r in encode(np.array(before, np.int64)) if r]
            last = [*old, *own][-6:]
            features["history"] = mt.data.table.Ragged.from_counts([len(last)], last)
        (vector,), _ = model.user(features)
        unknown = model.item(model.encoders.item.encode_profile({}))[0]
        vectors = np.concatenate([mt.encode(model.item, store.items), unknown])
        scores = dict(zip([*store.items.ids.tolist(), 99], (vectors @ vector).tolist()))
        ranked = sorted(scores.keys() - seen, key=lambda item: -scores[item])[:5]
        if wanted:
            recalls.append(len(wanted & set(ranked)) / len(wanted))
    assert json.loads(out)["model"]["metrics"]["recall@5"] == pytest.approx(np.mean(recalls))


def test_newer_dataset__known_users_keep_their_features_and_new_values_are_default_rows(places):
    folder, _ = places
    write(folder / "newer_users.csv", [{"user_id": u, "city": "no such"} for u in ("u1", "new")])
    how = Reading(split="time:0.1,0.3", users=folder / "newer_users.csv")
    store = mt.Recommender.open(folder / "s").store
    data = newer_dataset(store, open_folder(folder / "newer", how))
    assert data.users.ids[: len(store.users)].tolist() == store.users.ids.tolist()
    assert data.items.ids.tolist() == [*store.items.ids.tolist(), 99]
    assert not data.items.columns["item_id"][-1], "an item without a row is the default row"
    cities = data.users.columns.get("city")
    if cities is not None:
        known = store.users.columns["city"].tolist()
        known[store.users.rows_of(["u1"])[0]] = 0
        assert cities[: len(known)].tolist() == known
        assert not cities[len(known) :].any()


def test_evaluate__learned_clicks_are_refused_before_missing_columns(places, capsys):
    folder, _ = places
    log = (folder / "data" / "interactions.csv").read_text()
    (folder / "old").mkdir(exist_ok=True)
    (folder / "old" / "interactions.csv").write_text(log)
    capsys.readouterr()
    assert main(["evaluate", str(folder / "s"), str(folder / "old")]) == 2
    assert "may have learned from 30 of the 30 test" in capsys.readouterr().err.splitlines()[-1]
