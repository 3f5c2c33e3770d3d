"""Two-tower retrieval in NumPy: towers, losses and their gradients written by hand.

>>> import minitower as mt
>>> data = mt.Dataset.from_columns(
...     mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")]),
...     interactions={"user_id": [1, 1, 2, 2], "item_id": [7, 8, 7, 9]},
...     split=mt.RandomSplit(valid=0, test=0),
... )
>>> model = mt.TwoTower(data.schema, dim=8, hidden=())
>>> mt.Trainer(model, data).fit(epochs=2).best_epoch
2

Chapters 0 and 19.
"""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import get_data
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from minitower.api import *  # noqa: F403
else:

    @cache
    def _modules() -> dict[str, str]:
        """The module of each public name, read from the imports of `minitower/api.py`.

        To import that file is to import every room, and a program that trains needs no store.
        """
        imports = ast.parse(get_data("minitower", "api.py")).body
        return {
            alias.name: statement.module
            for statement in imports
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
        }

    def __getattr__(name: str) -> Any:
        """Import a room, or the module of a public name, on first use."""
        if name == "__all__":
            return sorted(_modules())
        if not name.startswith("__") and find_spec(f"minitower.{name}") is not None:
            return import_module(f"minitower.{name}")
        if name not in _modules():
            raise AttributeError(f"module 'minitower' has no attribute '{name}'")
        globals()[name] = getattr(import_module(_modules()[name]), name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *_modules()})
