"""The function that a target names: FILE.py:FUNCTION or package.module:FUNCTION. Chapter 17."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from minitower.data.errors import DataError


def load(target: str) -> Callable[..., Any]:
    """The function of a target; its file is run.

    Raises:
        DataError: no such file, module or function, or the file does not run.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not name or not place:
        raise DataError(f"{target}: expected FILE.py:FUNCTION or package.module:FUNCTION")
    function: Any = _module(place)
    for part in name.split("."):
        if not hasattr(function, part):
            raise DataError(f"{place}:{name}: the file has no {name}")
        function = getattr(function, part)
    if not callable(function):
        raise DataError(f"{target}: is {type(function).__name__}, which cannot be called")
    loaded: Callable[..., Any] = function
    return loaded


def _module(place: str) -> ModuleType:
    path = Path(place)
    if path.is_file():
        with _running(place):
            return _of_package(path) if (path.parent / "__init__.py").is_file() else _alone(path)
    if path.suffix == ".py" or path.name != place or not place.replace(".", "").isidentifier():
        raise DataError(f"{place}: the file is missing")
    with _running(place), _searching(Path()):
        return importlib.import_module(place)


def _alone(path: Path) -> ModuleType:
    """Run a file outside of any package. A dataclass in it looks for its module by name."""
    spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path}: expected a Python file, *.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _searching(path.parent):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[spec.name]
            raise
    return module


def _of_package(path: Path) -> ModuleType:
    """Import a file as the module of its package, so that its relative imports work."""
    names, folder = [path.stem], path.resolve().parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    with _searching(folder):
        module = importlib.import_module(".".join(names).removesuffix(".__init__"))
    found = module.__file__ or "a module without a file"
    if Path(found).resolve() != path.resolve():
        raise DataError(f"{path}: Python imports {module.__name__} from {found}; run it from there")
    return module


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    """In the block, imports look into a folder first."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(place)


@contextmanager
def _running(place: str) -> Iterator[None]:
    """Turn what somebody's file raises into one line."""
    try:
        yield
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{place}: raised {type(error).__name__} when it was run: {error}"
        ) from error
