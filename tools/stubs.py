"""Writes `src/plait/__init__.pyi`: what type checkers and editors see of `import
plait`.

Ops are lifted to functions and methods when plait is imported, which no type checker
can follow; this writes their signatures down, from the same catalogue.

    python tools/stubs.py           write the stub
    python tools/stubs.py --check   exit with 1 if it is not up to date
"""

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import plait
from plait.names import public
from plait.tensor import linalg, methods, random

STUB = Path(__file__).parent.parent / "src" / "plait" / "__init__.pyi"

LIFTED = {
    *methods.METHODS, *methods.ALIASES, *methods.AXIS_FIRST, *methods.IN_PLACE, "norm",
}  # fmt: skip

HEADER = '''"""Written by tools/stubs.py; do not edit."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

'''

# Names that annotations use inside the package, and what they mean to a user.
WORDS = {
    "Node": "Tensor",
    "Operand": "Tensor | float",
    "Axes": "int | Sequence[int] | None",
    "Shape": "tuple[int, ...]",
    "Scalar": "bool | int | float",
    "Function": "Callable[..., Any]",
    "Key": "Any",
    "Spec": "Any",
}
KNOWN = {
    "Any", "Callable", "Iterator", "Sequence", "AbstractContextManager", "Tensor",
    "DType", "Device", "Generator", "np", "ndarray", "int", "float", "bool", "complex",
    "str", "tuple", "list", "dict", "None", "type", "HookHandle", "Jitted", "Plan",
    "Profile",
}  # fmt: skip

# Rooms that are none of the user's, and those that are written out below.
INNER = (
    "arguments", "compile", "ir", "late", "names", "linalg", "ops", "program",
    "random", "runtime", "stopwatch", "tensor", "transform",
)  # fmt: skip


def annotation(value: Any) -> str:
    """Return an annotation in the user's words; Any where it is not one of them."""
    if value is inspect.Parameter.empty:
        return "Any"
    text = value if isinstance(value, str) else getattr(value, "__name__", str(value))
    for word, meaning in WORDS.items():
        text = re.sub(rf"\b{word}\b", meaning, text)
    names = set(re.findall(r"[A-Za-z_]\w*", text))
    if not names <= KNOWN:
        return "Any"
    # plait.bool is a dtype, and Tensor has methods of these names.
    return re.sub(r"\b(bool|int|float)\b", r"builtins.\1", text)


def signature(function: Any, method: bool = False) -> str:
    """Return `(parameters) -> result` as a stub has it; of a method, with `self`
    first.
    """
    found = inspect.signature(function)
    parts = ["self"] if method else []
    starred = False
    for parameter in list(found.parameters.values())[method:]:
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts.append(f"*{name}: {annotation(parameter.annotation)}")
            starred = True
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            parts.append(f"**{name}: {annotation(parameter.annotation)}")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        default = "" if parameter.default is parameter.empty else " = ..."
        parts.append(f"{name}: {annotation(parameter.annotation)}{default}")
    return f"({', '.join(parts)}) -> {annotation(found.return_annotation)}"


def method_line(name: str, function: Any) -> str:
    """Return the stub of one method."""
    return f"    def {name}{signature(function, method=True)}: ..."


def class_lines(name: str, cls: type) -> list[str]:
    """Return the stub of a class: its properties and methods."""
    lines = [f"class {name}:"]
    for key, value in vars(cls).items():
        if key.startswith("_") and not key.startswith("__"):
            continue
        if key == "__getattr__":  # it only says what is missing
            continue
        if isinstance(value, property):
            lines += ["    @property", method_line(key, value.fget)]
            if value.fset is not None:
                lines.append(f"    @{key}.setter")
                lines.append(f"    def {key}(self, value: Any) -> None: ...")
        elif inspect.isfunction(value):
            written = value.__qualname__.startswith(name) or key in LIFTED
            if written or len(inspect.signature(value).parameters) == 1:
                lines.append(method_line(key, value))
            else:
                result = "Any" if key in ("__eq__", "__ne__") else "Tensor"
                lines.append(f"    def {key}(self, other: Any) -> {result}: ...")
        elif key in ("grad",):
            lines.append(f"    {key}: Tensor | None")
    if len(lines) == 1:
        lines[0] += " ..."
    return lines


def stub() -> str:
    """Return the whole stub."""
    lines = [HEADER]
    rooms = vars(plait)["_ROOMS"]
    imported = [f"from . import {name} as {name}" for name in rooms]
    for name in sorted(vars(plait)):
        value = getattr(plait, name)
        if name.startswith("_") and not name.startswith(("__array", "__version")):
            continue
        if name == "missing":  # it only says what is missing
            continue
        if inspect.ismodule(value):
            if name not in (*INNER, *rooms):
                imported.append(f"from . import {name} as {name}")
        elif name in methods.FUNCTIONS or inspect.isfunction(value):
            lines.append(f"def {name}{signature(value)}: ...")
        elif value is plait.Tensor:
            lines += class_lines(name, value)
        elif inspect.isclass(value):
            module = value.__module__.removeprefix("plait")
            imported.append(f"from {module} import {value.__name__} as {name}")
        elif isinstance(value, tuple):
            lines.append(f"{name}: tuple[builtins.str, ...]")
        elif name != "bool":
            lines.append(f"{name}: {annotation(type(value))}")
    lines.append("bool: DType")
    for room in (linalg, random):
        lines.append(f"class {room.__name__.rpartition('.')[2]}:")
        for key in sorted(public(room)):
            value = getattr(room, key)
            if inspect.isfunction(value):
                lines += ["    @staticmethod", f"    def {key}{signature(value)}: ..."]
            elif isinstance(value, plait.Generator):
                lines.append(f"    {key}: Generator")
    head, *rest = lines
    return head + "\n".join(sorted(imported)) + "\n\n" + "\n".join(rest) + "\n"


def main() -> int:
    """Write the stub, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    text = stub()
    if not options.check:
        STUB.write_text(text, encoding="utf-8")
        return 0
    if not STUB.exists() or STUB.read_text(encoding="utf-8") != text:
        print("src/plait/__init__.pyi is out of date: run python tools/stubs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
