"""Clicks that are newer than a store are measured as the store serves them."""

import csv
import json
import shutil

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
        *clicks(1, 60, 1.7e9, USERS + 3),
        {"user_id": "u1", "item_id": 99, "timestamp": 1.7e9 + 60},
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
    trained = np.bincount(data.train.items, minlength=41)
    assert (data.item_counts - trained).tolist() == np.bincount(
        store.seen.values, minlength=41
    ).tolist()
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


def test_evaluate__learned_clicks_of_newer_data_are_seen_and_no_targets(places, capsys):
    """A log of the last days: some of it learned, also in the part that is measured."""
    folder, later = places
    old = list(clicks(0, 300, 1e9))[-80:]
    write(folder / "both" / "interactions.csv", old + later)
    capsys.readouterr()
    flags = ["--split", "time:0.1,0.6", "--json", "-k", "5", "--popular-only"]
    assert main(["evaluate", str(folder / "s"), str(folder / "both"), *flags]) == 0
    out, err = capsys.readouterr()
    measured = len(old) + len(later) - (len(old) + len(later)) * 4 // 10
    left_out = measured - len(later)
    assert (
        f"the model may have learned from 80 positives, which count as seen: {left_out} of the "
        f"{measured} test positives are left out; catalogue, seen items and histories"
    ) in err
    figures = json.loads(out)
    assert (figures["learned"], figures["left_out"]) == (0, left_out)
    # The same as a log of the new clicks alone, all of them in the test; training needs one.
    write(folder / "alone" / "interactions.csv", [old[0], *later])
    store = mt.Recommender.open(folder / "s").store
    how = Reading(split="time:2010-01-01")
    data = newer_dataset(store, open_folder(folder / "alone", how))
    assert figures["model"]["metrics"]["recall@5"] == pytest.approx(
        mt.evaluate(store.model, data, k=(5,))["recall@5"]
    )


def test_newer_dataset__learned_clicks_are_in_no_history_twice(places):
    """Of an update by day, too: no list of the store holds its clicks."""
    folder, later = places
    target = folder / "by day"
    if not target.exists():
        shutil.copytree(folder / "s", target)
        write(folder / "log" / "a.csv", later[:30])
        assert main(["update", str(target), str(folder / "log"), "--incremental"]) == 0
    store = mt.Recommender.open(target).store
    assert store.version.kind == "incremental"
    data = newer_dataset(store, open_folder(folder / "newer", Reading(split="time:0.1,0.3")))
    learned = [row for row in later[:30] if store.users.rows_of([row["user_id"]])[0] >= 0]
    assert len(data.train) + len(data.valid) + len(data.test) == len(later) - len(learned)
    seen = data.seen("train")
    for row in learned:
        (user,) = data.users.rows_of([row["user_id"]])
        assert data.items.rows_of([row["item_id"]])[0] in seen.row(user)
    before, after = store.users.columns.get("history"), data.recent
    if before is not None:
        assert np.array_equal(after.values, before.values), "the store has grown them already"


def test_evaluate__a_copy_of_the_training_data_is_still_its_held_out_test(tmp_path, capsys):
    """In another order, without a refit: the store lists the test as seen, but has not learned."""
    write(tmp_path / "data" / "interactions.csv", list(clicks(0, 300, 1e9)))
    how = ["--epochs", "1", "--dim", "8", "--index", "exact", "--no-refit"]
    assert main(["train", str(tmp_path / "data"), "--out", str(tmp_path / "s"), *how]) == 0
    write(tmp_path / "copy" / "interactions.csv", list(clicks(0, 300, 1e9))[::-1])
    figures = []
    for data in ("data", "copy"):
        capsys.readouterr()
        flags = ["--json", "-k", "5", "--popular-only"]
        assert main(["evaluate", str(tmp_path / "s"), str(tmp_path / data), *flags]) == 0
        figures.append(json.loads(capsys.readouterr().out)["model"]["metrics"])
    assert figures[0] == pytest.approx(figures[1])


@pytest.mark.parametrize("table", ["users", "items"])
def test_evaluate__overrides_of_a_table_that_is_not_here_are_not_asked_for(tmp_path, capsys, table):
    data = tmp_path / "data"
    write(data / "interactions.csv", list(clicks(0, 200, 1e9)))
    write(data / "users.csv", [{"user_id": f"u{u}", "age": u, "zip": u} for u in range(USERS)])
    write(data / "items.csv", [{"item_id": i, "price": i + 1, "zip": i} for i in range(ITEMS)])
    override = 'age = "token"\nprice = {kind = "continuous", impute = true}\n"users.zip" = "none"'
    job = f'data = "data"\n[override]\n{override}\n"items.zip" = "token"\n'
    (tmp_path / "job.toml").write_text(job)
    flags = ["--epochs", "1", "--dim", "8", "--index", "exact", "--out", str(tmp_path / "s")]
    assert main(["train", "--job", str(tmp_path / "job.toml"), *flags]) == 0
    write(tmp_path / "newer" / "interactions.csv", list(clicks(1, 60, 1.7e9)))
    flags = [f"--{table}", str(data / f"{table}.csv"), "--popular-only"]
    capsys.readouterr()
    status = main(["evaluate", str(tmp_path / "s"), str(tmp_path / "newer"), *flags])
    assert status == 0, capsys.readouterr().err
    typed = [*flags, "--override", "nothing=none"]
    assert main(["evaluate", str(tmp_path / "s"), str(tmp_path / "newer"), *typed]) == 2
    assert "--override names an unknown column 'nothing'" in capsys.readouterr().err


def test_evaluate__another_rule_on_the_training_data_is_measured_on_that_data(tmp_path, capsys):
    """Its own held-out part: what was no positive then is no newer click now."""
    rows = [{**row, "is_click": int(n % 3 > 0)} for n, row in enumerate(clicks(0, 300, 1e9))]
    write(tmp_path / "data" / "interactions.csv", rows)
    how = ["--epochs", "1", "--dim", "8", "--index", "exact", "--no-refit"]
    assert main(["train", str(tmp_path / "data"), "--out", str(tmp_path / "s"), *how]) == 0
    flags = ["--positive", "all", "--popular-only"]
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "s"), str(tmp_path / "data"), *flags]) == 0
    assert "of the store count" not in capsys.readouterr().err
