"""Chapters whose code needs an extra: without it they skip, visibly."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = ["zh/*", "site/*"]  # the same code as on the English pages; the site's own

NEEDS = {
    "21-more-than-one-machine.md": (("dask", "pymilvus", "milvus_lite"), "dask,milvus"),
    "22-moving-to-pytorch.md": (("torch",), "peers"),
    "23-choosing-the-settings.md": (("optuna",), "tune"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        packages, extras = NEEDS.get(item.path.name, ((), ""))
        if not all(map(find_spec, packages)):
            reason = f"needs what is not installed: pip install '.[{extras}]'"
            item.add_marker(pytest.mark.skip(reason=reason))
