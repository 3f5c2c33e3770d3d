"""Values that are too large, or no values at all: one line, and no gigabyte of memory."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.cli import main
from minitower.cli import train as train_command
from minitower.cli.train import read_job, read_toml
from minitower.data import DataError, Dataset, GivenSplit, Id, Schema
from minitower.towers.two_tower import MAX_DENSE_WEIGHTS, TwoTower

LOG = {"u": [u for u in range(20) for _ in range(10)], "i": [*range(100), *range(100)],
       "part": (["train"] * 9 + ["valid"]) * 20}  # fmt: skip
DATA = Dataset.from_columns(
    Schema(user=[Id("u")], item=[Id("i")]), LOG, split=GivenSplit("part")
)  # fmt: skip
HUGE = "1000000000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Split files: 60 users, 80 items."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, size in (("train", 12), ("valid", 2), ("test", 3)):
        lines = (" ".join(map(str, [u, *rng.choice(80, size, False)])) for u in range(60))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def error_of(printed, status=2):
    code, out, err = printed
    assert (code, out) == (status, "")
    last = err.splitlines()[-1]
    assert last.startswith("minitower: error: ")
    assert len(last) < 500
    return last


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("sizes, message", [
    ({"dim": 10**9}, "dim and the widths of embeddings must be at most 4,096, got 1,000,000,000"),
    ({"dim": 4097, "hidden": ()}, "at most 4,096, got 4,097; lower dim or hidden"),
    ({"hidden": (100_000, 100_000)}, "the hidden widths together must be at most 8,192, got 200,0"),
    ({"hidden": (1,) * 8193}, "the hidden widths together must be at most 8,192, got 8,193"),
    ({"hidden": (4000, 4000)}, "the dense weights of the user tower must be at most 8,388,608, "),
])  # fmt: skip
def test_two_tower__a_size_is_refused_before_memory_is_taken(sizes, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            TwoTower(DATA.schema, **sizes)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_two_tower__the_bounds_are_included():
    widest = TwoTower(DATA.schema, dim=4096, hidden=())
    assert widest.user_tower.dim == 4096
    a = MAX_DENSE_WEIGHTS // (64 + 2048) // 2
    TwoTower(DATA.schema, hidden=(a, 2048))


def test_two_tower__wide_embeddings_of_a_schema_are_refused():
    schema = Schema(user=[Id("u", dim=5000)], item=[Id("i")])
    data = Dataset.from_columns(schema, LOG, split=GivenSplit("part"))
    with pytest.raises(ValueError, match=r"widths of embeddings must be at most 4,096, got 5,000"):
        TwoTower(data.schema)


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize("flags, message", [
    (["--dim", HUGE], "--dim: expected an integer from 1 to 4,096, got '1000000000'"),
    (["--hidden", "100000,100000"], "--hidden: expected integers from 1 to 8,192, such as 128,64"),
    (["--hidden", "4000,4000"], "the dense weights of the user tower must be at most 8,388,608"),
    (["--hidden", ",".join(["9"] * 5000)], "hidden widths together must be at most 8,192, got 45"),
    (["--negatives", f"uniform:{HUGE}"], "--negatives uniform:1000000000: 1,000,000,000 negatives"),
    (["--negatives", f"popular:1+uniform:{HUGE}"], "1,000,000,000 negatives for"),
    (["--dim", 4096, "--negatives", "uniform:40"], "--negatives: 40,800 vectors in one step are"),
    (["--negatives", f"shared:{HUGE}"], "--negatives: 1,000,000,000 vectors in one step are too"),
    (["--negatives", f"mined:{'9' * 30}"], "--negatives: expected none, uniform:K, popular:K"),
    (["--objective", "cross-batch", "--bank", HUGE], "--bank: 1,000,000,000 vectors in one step"),
    (["--epochs", 10**30], "--epochs: expected an integer of at least 1, and of at most 64 bits"),
    (["--epochs", "9" * 5000], "--epochs: expected an integer of at least 1, got '999"),
    (["--seed", 10**400], "--seed: expected an integer of at least 0"),
    (["--patience", 10**30], "--patience: expected an integer of at least 1, and of at most 64"),
    (["--batch-size", 10**30], "--batch-size: expected an integer of at least 1, and of at most"),
    (["--bank", 10**30], "--bank: expected an integer of at least 0, and of at most 64 bits"),
    (["--self-batch-size", 1], "--self-batch-size: expected an integer of at least 2, got '1'"),
    (["--hidden-fields", 0], "--hidden-fields: expected an integer of at least 1, got '0'"),
    (["--metric", f"recall@{10**30}"], "--metric: expected NAME@K"),
    (["--temperature", "1e999"], "--temperature: expected a number from 1e-06 to 1e+12, got"),
    (["--negatives", "uniform:1+mined:2"], "--negatives mined:2: rank 101 is beyond the 80 items"),
    (["--positive-exponent", "2"], "--positive-exponent: expected a number from 0 to 1, got '2'"),
    (["--split", f"last:1,{2**40}"], "--split: expected time, random, last"),
    (["--out", ""], "argument --out: expected a path, got ''"),
    (["--job", ""], "argument --job: expected a path, got ''"),
    (["--override", "age={kind='categorical',dim=1000000000}"], "dim must be at most 4,096"),
    (["--override", "age={kind='continuous',buckets=1000000000}"], "an integer from 2 to 65,536"),
])  # fmt: skip
def test_flags__values_that_are_too_large(run, folder, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(run("train", folder, *flags))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [
    ["--batch-size", HUGE],
    ["--bank", HUGE],
    ["--self-supervised", "dropout", "--self-batch-size", HUGE],
    ["--patience", 2**63 - 1],
    ["--seed", 2**63 - 1],
    ["--metric", f"recall@{2**63 - 1}"],
])  # fmt: skip
def test_flags__a_large_value_that_asks_for_no_memory_is_taken(run, folder, tmp_path, flags):
    small = ["--dim", 4, "--hidden", "", "--epochs", 1]
    status, _, err = run("train", folder, "--out", tmp_path / "m", *small, *flags)
    assert status == 0 or "dropping 0.5 of the values" in err


@pytest.mark.parametrize("flags", [
    ["--hidden", "2600,2600", "--optimizer", "adam"],
    ["--negatives", "shared:131000"],
    ["--dim", "4096", "--objective", "pairwise", "--negatives", "uniform:3"],
])  # fmt: skip
def test_flags__what_is_taken_stays_below_a_gigabyte(folder, tmp_path, flags):
    script = (
        "import sys; from pathlib import Path; from minitower.cli import main; status = main();"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]);"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", script, "train", str(folder), "--out", str(tmp_path / "m"),
               "--epochs", "1", *flags]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < 1e9


@pytest.mark.parametrize("error", [
    MemoryError("Unable to allocate 7 TiB"), OverflowError("int too large"), RecursionError("deep")
])  # fmt: skip
def test_out_of_memory__one_line_names_the_flags(run, folder, tmp_path, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(train_command, "fit_by_options", fail)
    line = error_of(run("train", folder, "--out", tmp_path / "m"), 1)
    assert "lower --batch-size, --dim, --hidden, --negatives, --bank or --self-batch-size" in line
    assert f"{type(error).__name__}: {error}" in line


def test_train__prints_an_odd_folder_on_one_line(run, folder, tmp_path):
    out = tmp_path / "a\x1b[31m\nb"
    status, printed, _ = run("train", folder, "--out", out, "--epochs", 1, "--dim", 2)
    assert (status, printed) == (0, f"{tmp_path}/a\\x1b[31m\\nb\n")


# ---------------------------------------------------------------- job files


@pytest.mark.parametrize("text, message", [
    (b"seed = " + b"9" * 5000, "job.toml: an integer has too many digits"),
    (b"seed = 0x" + b"f" * 9000, "job.toml: an integer has too many digits"),
    (b"hidden = " + b"[" * 5000 + b"]" * 5000, "job.toml: brackets or keys are nested too deeply"),
    (b"dim = " + b"{a=" * 5000 + b"1" + b"}" * 5000, "job.toml: brackets or keys are nested too"),
    (b"dim" + b".a" * 5000 + b" = 1", "job.toml: brackets or keys are nested too deeply"),
    (b'out = "m\\u0000x"', r"job.toml: out: expected a path, got 'm\x00x'"),
    (b'data = "m\\u0000x"', r"job.toml: data: expected a path, got 'm\x00x'"),
    (b'out = ""', "job.toml: out: expected a path, got ''"),
    (b"out = 1979-05-27", "job.toml: out: expected a path, got datetime.date(1979, 5, 27)"),
    (b"out.a = 3", "job.toml: out: expected a path, got {'a': 3}"),
    (b"dim.a = 3", "job.toml: dim: expected an integer from 1 to 4,096, got {'a': 3}"),
    (b"dim = 1979-05-27", "job.toml: dim: expected an integer from 1 to 4,096, got datetime.date"),
    (b"epochs = 1e400", "job.toml: epochs: expected an integer of at least 1, got inf"),
    (b"learning_rate = 0.0", "job.toml: learning_rate: expected a number above 0 and at most 1e"),
    (b"margin = -1", "job.toml: margin: expected a number above 0 and at most 1e+06, got -1"),
    (b"temperature = " + b"9" * 400, "temperature: expected a number from 1e-06 to 1e+12, got 99"),
    (b"residual = [[]]", "job.toml: residual: expected true or false, got [[]]"),
    (b"[[dim]]\na = 1", "job.toml: dim: expected an integer from 1 to 4,096, got [{'a': 1}]"),
    (b'"\\u001b[31m" = 1', r"job.toml: unknown key '\x1b[31m'; known: positive"),
    (b"x" * 9000 + b" = 1", "job.toml: unknown key 'xxx"),
    (b"dim = 8\n\xff", "job.toml: 'utf-8' codec can't decode byte 0xff"),
    (b"\xff\xfed\x00", "job.toml: 'utf-8' codec can't decode byte 0xff"),
    (b"#" * 2_000_000, "job.toml: expected at most 1,048,576 bytes"),
])  # fmt: skip
def test_job_file__one_line(run, folder, tmp_path, monkeypatch, text, message):
    """And before any training."""
    monkeypatch.setattr(
        train_command, "fit_by_options", lambda *args: pytest.fail("it trained first")
    )
    job = tmp_path / "job.toml"
    job.write_bytes(text)
    arguments = [] if b"data" in text else [folder]
    assert message in error_of(run("train", *arguments, "--job", job))


def test_job_file__is_a_regular_file(run, folder, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path, tmp_path / "fifo", os.devnull):
        assert "expected a regular file" in error_of(run("train", folder, "--job", place))
    missing = error_of(run("train", folder, "--job", tmp_path / "none"))
    assert "none: No such file or directory" in missing


@given(st.binary(max_size=60))
def test_read_toml__any_bytes_are_a_table_or_a_line(tmp_path_factory, content):
    place = tmp_path_factory.mktemp("job") / "job.toml"
    place.write_bytes(content)
    try:
        places, table = read_toml(place)
    except DataError as error:
        printed = str(error)
    else:
        assert isinstance(table, dict)
        assert not table.keys() & places.keys()
        return
    assert printed.startswith(f"{place}: ")


def test_every_default_is_in_its_own_domain():
    defaults = read_job({})
    options = {name: value for name, value in defaults.items() if value is not None}
    options["hidden"] = list(options["hidden"])
    assert dict(read_job({}, ("defaults", options))) == dict(defaults)


# ---------------------------------------------------------------- the seed


def test_help__says_what_the_seed_promises(capsys):
    assert main(["train", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "same seed, same model, bit for bit, on the same kind of CPU" in printed
