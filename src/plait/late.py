"""Modules that are imported when they are first used.

`import plait` is quick: what only few programs need, or only later, is not part of it,
such as the compiler. A module that uses one names it twice, once for readers and tools,
and once for Python:

    if TYPE_CHECKING:
        from ..compile import pipeline
    else:
        pipeline = late("plait.compile.pipeline")

Read first: `late`, `late_rooms`, `late_names`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection
from typing import Any


class _Late:
    """Stands for a module; gets its names from it when they are asked for."""

    def __init__(self, module: str) -> None:
        self.__module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(importlib.import_module(self.__module), name)
        # The next time it is found at once.
        self.__dict__[name] = value
        return value


def late(module: str) -> Any:
    """Return what stands for a module, which is imported when a name is taken of it.

    For functions and classes: what a module assigns to a name later is not seen.
    """
    return _Late(module)


def late_rooms(
    package: str, rooms: Collection[str], otherwise: Callable[[str], Any]
) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package: some of its modules are imported late.

    Args:
        package: the package's name.
        rooms: the names of those modules.
        otherwise: is called for all other names.
    """

    def get(name: str) -> Any:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        return otherwise(name)

    return get


def late_names(
    package: str, modules: Collection[str], otherwise: Callable[[str], Any]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package: some names are imported late.

    When one of the names in `__all__` is asked for, the modules are imported one after
    another until one has it.

    Args:
        package: the package's name.
        modules: the names of its modules that are imported late. None may have a name
            of `__all__`, but for one that stands for the module itself.
        otherwise: is called for names that are not in `__all__`.
    """

    def get(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        room = sys.modules[package]
        # While the package is being imported there is no `__all__` yet.
        if name in vars(room).get("__all__", ()):
            for module in modules:
                found = vars(importlib.import_module(f"{package}.{module}"))
                if name in found:
                    # The next time it is found at once.
                    setattr(room, name, found[name])
                    return found[name]
        return otherwise(name)

    def known() -> list[str]:
        room = sys.modules[package]
        return sorted({*vars(room), *room.__all__})

    return get, known
