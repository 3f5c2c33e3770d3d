"""Cases: a store whose pointer, lock, manifests or arrays are damaged, past their hashes too."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from case import Case
from values import KINDS_OF_FILE, mutated_bytes, mutated_json, replaced
from world import commands

_COMMANDS = {
    "recall": 3, "recall new": 1, "evaluate": 1, "list": 1, "show": 1, "verify": 2, "rollback": 1,
    "prune": 1,
    "update full": 2, "update incremental": 2, "publish": 1, "train": 1,
}  # fmt: skip
FOREIGN = "mybackup"
"""A folder that is not the store's and that nothing may delete."""

_SHAPES = (
    *(
        "()",
        "(0,)",
        "(-1,)",
        "(1,)",
        "(9223372036854775807,)",
        "(9223372036854775808,)",
        "(1, 2, 3)",
    ),
    *(
        "(4611686018427387904, 4)",
        "('a',)",
        "None",
        "(1.0,)",
        "((1,),)",
        "(True,)",
        "(30, 4)",
        "(10**20,)",
    ),
)
_TYPES = (
    *(
        "'<f4'",
        "'<f8'",
        "'>f4'",
        "'|O'",
        "'<U1'",
        "'<U1000000'",
        "'|V8'",
        "'<M8[s]'",
        "'<c16'",
        "'<f2'",
    ),
    *(
        "'|b1'",
        "'<i8'",
        "'<u8'",
        "'|S3'",
        "'x'",
        "''",
        "None",
        "[('a', '<f4')]",
        "'<i3'",
        "1",
        "'|S0'",
    ),
)
_HEADERS = (
    *("{", "", "x", "{'descr': '<f4'}", "[" * 5_000, "(" * 200, "{'shape': " * 50, "1" * 5_000),
    *("__import__('os')", "{'descr': '<f4', 'fortran_order': 1, 'shape': (3,)}", "\0", "é"),
)


def make(rng: Random) -> Case:
    """A case of this kind."""
    name = rng.choices(list(_COMMANDS), list(_COMMANDS.values()))[0]
    argv, uses = commands()[name]
    if name == "train":
        argv, uses = ("train", "atomic", "--out", "store", *argv[4:]), ("atomic", "store")
    elif name in ("show", "rollback"):
        argv = (*argv[:3], rng.choice(("1", "2", "3")))
    change, what, places = rng.choice(
        (_pointer, _manifest, _manifest, _array, _array, _array, _file, _bytes, _foreign)
    )(rng)
    return Case("store", f"{name}: {what}", (argv,), places, uses, (change,), ("aside.jsonl",))


Mutation = tuple[Callable[[Path], None], str, tuple[str, ...]]


def _again(folder: Path, number: str | None = None, name: str | None = None) -> None:
    """Recompute the hashes above a file that was changed, so that they vouch for the damage."""
    store = folder / "store"
    if number is not None:
        version = store / "versions" / number
        manifest = version / "manifest.json"
        content = manifest.read_bytes()
        if name is not None:
            changed = (version / name).read_bytes()
            stated = json.loads(content)
            digest = hashlib.sha256(changed).hexdigest()
            stated["files"][name] = {"bytes": len(changed), "sha256": digest}
            content = json.dumps(stated, indent=1).encode()
            manifest.write_bytes(content)
        pointer = json.loads(_stated(store / "CURRENT"))
        for line in pointer["versions"]:
            if line["number"] == int(number):
                line["manifest"] = hashlib.sha256(content).hexdigest()
        _point(store, json.dumps(pointer, indent=1).encode())


def _stated(path: Path) -> bytes:
    return path.read_bytes().rpartition(b"\n")[0]


def _point(store: Path, stated: bytes) -> None:
    digest = hashlib.sha256(stated).hexdigest().encode()
    (store / "CURRENT").write_bytes(stated + b"\n" + digest)


def _pointer(rng: Random) -> Mutation:
    seed = rng.random()

    def change(folder: Path) -> None:
        stated = json.loads(_stated(folder / "store/CURRENT"))
        damaged, _ = mutated_json(Random(seed), stated)
        _point(folder / "store", damaged.encode("utf-8", "surrogatepass"))

    return change, "CURRENT, its hash right", ("CURRENT", "store")


def _version(rng: Random) -> str:
    return rng.choice(("000001", "000002", "000002", "000003", "000003"))


def _manifest(rng: Random) -> Mutation:
    seed, number = rng.random(), _version(rng)

    def change(folder: Path) -> None:
        path = folder / "store/versions" / number / "manifest.json"
        damaged, _ = mutated_json(Random(seed), json.loads(path.read_text()))
        path.write_bytes(damaged.encode("utf-8", "surrogatepass"))
        _again(folder, number)

    return (
        change,
        f"manifest of {number}, hashes right",
        ("manifest", "manifest.json", number, "store"),
    )


def _files(folder: Path, number: str, suffixes: tuple[str, ...]) -> list[Path]:
    found = (folder / "store/versions" / number).iterdir()
    return sorted(path for path in found if path.suffix in suffixes)


def _array(rng: Random) -> Mutation:
    seed, number = rng.random(), _version(rng)

    def change(folder: Path) -> None:
        again = Random(seed)
        path = again.choice(_files(folder, number, (".npy", ".hnsw")))
        content = path.read_bytes()
        if path.suffix == ".npy":
            content = _damaged_npy(again, content)
        else:
            content = mutated_bytes(again, content)
        path.write_bytes(content)
        _again(folder, number, path.name)

    return change, f"an array of {number}, hashes right", (number, "store")


def _damaged_npy(rng: Random, content: bytes) -> bytes:
    """Another header, another array, or other bytes."""
    how = rng.randrange(4)
    if how == 0:
        return mutated_bytes(rng, content)
    if how == 1:
        return _odd_array(rng, content)
    length = int.from_bytes(content[8:10], "little")
    header, data = content[10 : 10 + length].decode("latin-1").strip(), content[10 + length :]
    if how == 2:
        header = rng.choice((*_HEADERS, header + header, header[:-3]))
    else:
        stated = rng.choice(("shape", "descr", "fortran_order"))
        odd = {"shape": _SHAPES, "descr": _TYPES, "fortran_order": ("True", "1", "None", "'x'")}
        head, _, rest = header.partition(f"'{stated}': ")
        cut = rest.index(")") + 1 if stated == "shape" else rest.index(",")
        header = f"{head}'{stated}': {rng.choice(odd[stated])}{rest[cut:]}"
    text = header.encode("utf-8") + b"\n"
    version = rng.choice((1, 1, 1, 2, 3, 4, 0, 255))
    size = len(text) if rng.random() < 0.85 else rng.choice((0, 65_535, 1 << 31, 4_294_967_295))
    width = 2 if version == 1 else 4
    stated_size = (size & (256**width - 1)).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + stated_size + text + data


def _odd_array(rng: Random, content: bytes) -> bytes:
    """The array with other values, another type or another shape."""
    array = np.load(io.BytesIO(content))
    with np.errstate(all="ignore"):
        odd = rng.choice(
            (
                lambda: array[:-1],
                lambda: array[..., None],
                lambda: np.concatenate([array, array]),
                lambda: array.astype("S9") if array.dtype.kind != "U" else array.astype(object),
                lambda: array.astype(np.float64) if array.dtype.kind in "biuf" else array[::-1],
                lambda: array.astype(np.int8) if array.dtype.kind in "biuf" else array[:0],
                lambda: array[::-1].copy(),
                lambda: np.zeros_like(array),
                lambda: (
                    array * 0 + rng.choice((-1, 2**31 - 1, 10**6))
                    if array.dtype.kind in "iu"
                    else array[:0]
                ),
                lambda: array * np.nan if array.dtype.kind == "f" else array[:1],
                lambda: np.array(rng.choice((1, "x", 1.5, None))),
                lambda: np.array([{}, None], object),
            )
        )()
    held = io.BytesIO()
    np.save(held, odd, allow_pickle=True)
    return held.getvalue()


def _file(rng: Random) -> Mutation:
    """Something else in the place of a file of the store, or of one that it will write."""
    seed, number = rng.random(), _version(rng)
    name = rng.choice(("CURRENT", "LOCK", "LOCK", "CURRENT.new", f"versions/{number}/manifest.json",
                       f"versions/{number}/*"))  # fmt: skip

    def change(folder: Path) -> None:
        again, path = Random(seed), folder / "store" / name
        if path.name == "*":
            path = again.choice(_files(folder, number, (".npy", ".hnsw")))
        if not path.exists():
            path.write_bytes(b"")
        if path.name in ("LOCK", "CURRENT.new"):  # which are opened to be written
            path.unlink()
            what = again.choice(("fifo", "dangling", "folder", "link"))
            target = folder / "precious"
            target.write_text("mine")
            if what == "fifo":
                os.mkfifo(path)
            elif what == "folder":
                path.mkdir()
                (path / "file").write_text("mine")
            else:
                path.symlink_to(target if what == "link" else folder / "nowhere")
        else:
            replaced(again.choice(KINDS_OF_FILE), path)

    places = (Path(name).name.replace("*", number), number, "store")
    return change, f"another kind of file for {name}", places


def _bytes(rng: Random) -> Mutation:
    seed = rng.random()

    def change(folder: Path) -> None:
        again = Random(seed)
        path = again.choice(sorted(p for p in (folder / "store").rglob("*") if p.is_file()))
        path.write_bytes(mutated_bytes(again, path.read_bytes()))

    return change, "bytes of a file", ("store",)


def _foreign(rng: Random) -> Mutation:
    """What is not the store's own lies in its folders."""
    which = rng.randrange(3)

    def change(folder: Path) -> None:
        versions = folder / "store/versions"
        if which == 0:
            (versions / FOREIGN).mkdir()
            (versions / FOREIGN / "file").write_text("mine")
        elif which == 1:
            elsewhere = folder / FOREIGN
            elsewhere.mkdir()
            (elsewhere / "file").write_text("mine")
            (elsewhere / "000077").mkdir()
            (elsewhere / "000077" / "file").write_text("mine")
            for path in versions.iterdir():
                path.rename(elsewhere / path.name)
            versions.rmdir()
            versions.symlink_to(elsewhere)
        else:
            (folder / FOREIGN).mkdir()
            (folder / FOREIGN / "file").write_text("mine")
            (versions / "000004").symlink_to(folder / FOREIGN)

    return (
        change,
        ("a folder in versions", "versions elsewhere", "a link in versions")[which],
        ("store",),
    )
