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

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from minitower.api import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """Find a room, or a public name; the first name imports the rooms, `--help` does not."""
        unknown = f"module 'minitower' has no attribute '{name}'"
        if name.startswith("__") and name != "__all__":
            raise AttributeError(unknown)
        if find_spec(f"minitower.{name}") is not None:
            return import_module(f"minitower.{name}")
        api = import_module("minitower.api")
        if not hasattr(api, name):
            raise AttributeError(unknown)
        globals()[name] = getattr(api, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module("minitower.api").__all__})
