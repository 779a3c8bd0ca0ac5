"""Every exception that plait raises on purpose.

Each class's docstring is its page in the documentation: when it is raised, and what to
do. The message has four parts, in this order: what happened, what was got, what was
expected, and how to fix it; the user's source line and the layer path follow when
known.

Read first: `PlaitError`.
"""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from types import CodeType
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class PlaitError(Exception):
    """The base of every error that plait raises on purpose.

    Args:
        what: what happened, in one sentence, naming the op in brackets: `[add] ...`.
        got: the offending values. Shown after "Got:".
        expected: what would have been accepted. Shown after "Expected:".
        fix: one thing to try. Shown after "Fix:".
        where: the user's line (`file.py:12`). Default: the innermost frame outside
            plait.

    Attributes:
        layer: the path of the layer that was running (`encoder.0.linear`), or "".
        call: what the user made when what is inside it failed, with its arguments
            (`MultiheadAttention(embed_dim=8, num_heads=-1)`), or "".
    """

    def __init__(
        self,
        what: str,
        *,
        got: str = "",
        expected: str = "",
        fix: str = "",
        where: str | None = None,
    ) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.fix = fix
        self.where = user_line() if where is None else where
        self.layer = ""
        self.call = ""
        self.module: Any = None
        super().__init__(what)

    @property
    def message(self) -> str:
        """What happened, got, expected, fix; without the place."""
        parts = [self.what]
        for label in ("got", "expected", "fix"):
            text = getattr(self, label)
            if text:
                parts.append(f"{label.capitalize()}: {text}")
        ended = (part if part.endswith((".", "?")) else part + "." for part in parts)
        return " ".join(ended)

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.layer:
            lines.append(f"  in layer {self.layer}")
        if self.call:
            lines.append(f"  in {self.call}")
        return "\n".join(lines)


class ShapeError(PlaitError, ValueError):
    """Shapes do not fit: they do not broadcast, or a size, rank or count is wrong."""


class AxisError(PlaitError, IndexError, ValueError):
    """An axis does not exist in the tensor, or is named twice."""


class DTypeError(PlaitError, TypeError):
    """An element type is not accepted, or two types have no common type."""


class IndexingError(PlaitError, IndexError):
    """An index is out of range, or of a kind that cannot index a tensor."""


class ArgumentError(PlaitError, ValueError):
    """An argument has a value that the function does not accept."""


class ArgumentTypeError(PlaitError, TypeError):
    """An argument is of a type that the function does not accept."""


class DeviceError(PlaitError, ValueError):
    """A device does not exist, or tensors lie on different devices."""


class GradientError(PlaitError, RuntimeError):
    """A derivative was asked for where there is none to be had.

    Raised when `backward()` starts at something that is not a scalar, when nothing that
    requires a gradient was used, when the graph was already used up by an earlier
    `backward()`, and when a primitive has no derivative in the asked mode.
    """


class TracingError(PlaitError, RuntimeError):
    """A value was looked at while a function was only being recorded.

    The functions given to `vmap`, `scan`, `cond`, `while_loop`, `jit`, `recompute` and
    `custom_vjp` are recorded once for any values, so `item()`, `bool()`, `print` and
    `numpy()` of what depends on their arguments cannot be answered. Use `where`, `cond`
    or `while_loop` instead of `if` and `while` there.
    """


class GraphError(PlaitError, ValueError):
    """A graph breaks its grammar: text that does not parse, or a node whose type is
    wrong.
    """


class LinearAlgebraError(PlaitError, ValueError):
    """A matrix is singular or not positive definite, or an iteration did not
    converge.
    """


class WrongResultError(PlaitError, ArithmeticError):
    """With `settings.check`, a compiled result differs from the interpreted one.

    Every program is then run both ways. The message names the op and the user's line.
    """


class NonFiniteError(PlaitError, ArithmeticError):
    """With `settings.trace_nonfinite`, a value is nan or infinite.

    The message names the first op that made such a value out of finite ones, what it
    was given, the layer that it is of and the user's line, and whether it belongs to
    the derivative ("backward"). Frequent reasons: a learning rate that is too high, a
    logarithm or a root of 0, a division by 0, and overflow in 16 bits.
    """


class CompileWarning(UserWarning):
    """Programs cannot be compiled here, not kept on disk, or take too much memory.

    plait goes on without. Interpreted programs give the same results, more slowly.
    """


class FileFormatError(PlaitError, ValueError):
    """A file is damaged, truncated, hostile, or not of the format that its reader
    expects.
    """


class StateDictError(PlaitError, KeyError):
    """The names or shapes in a state dict do not match those of the module.

    The message lists missing, unexpected and mis-shaped entries.
    """

    __str__ = PlaitError.__str__


class DataError(PlaitError, RuntimeError):
    """Data could not be had: a package client failed, or a checksum does not match."""


class MissingExtraError(PlaitError, ImportError):
    """An optional library is needed. The message says which command installs it."""


def user_line() -> str:
    """Return `file:line` of the innermost frame that is not plait's own, or ""."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) and not name.startswith("<frozen"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class Line(str):
    """`file:line` of the user, or "", and what was running there.

    Attributes:
        layer: the path of the innermost layer that was running (`encoder.0.linear`);
            "" for the outermost and where there is none.
        kind: the class of that layer, "" where there is none.
        backward: whether it was a derivative that was recorded.
    """

    __slots__ = ("backward", "kind", "layer")
    layer: str
    kind: str
    backward: bool

    def __new__(
        cls, where: str, layer: str = "", kind: str = "", backward: bool = False
    ) -> Line:
        line = super().__new__(cls, where)
        line.layer, line.kind, line.backward = layer, kind, backward
        return line

    def __reduce__(self) -> Any:
        return Line, (str(self), self.layer, self.kind, self.backward)


_layers: set[CodeType] = set()


def runs_layers(function: Any) -> None:
    """Tell that `function` is the method by which layers are called.

    Its frames say which layers are running: a call of a layer costs nothing for that.
    """
    _layers.add(function.__code__)


def user_place() -> Line:
    """Return `user_line`, and the layer that is running."""
    where = ""
    running: list[Any] = []
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        if code in _layers:
            running.append(frame.f_locals["self"])
        elif not where and not name.startswith((_PACKAGE, "<frozen")):
            where = f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    if not running:
        return Line(where)
    return Line(where, _path(running[::-1]), type(running[0]).__name__)


def _path(running: list[Any]) -> str:
    """Return the path of the last of some layers, each called by the one before."""
    names = []
    for outer, inner in itertools.pairwise(running):
        if inner is not outer:
            names.append(_name_in(outer, inner) or type(inner).__name__)
    return ".".join(names)


# Layer -> the names that it had for those inside it when it was looked through last; ""
# for one that was not there.
_names: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[Any, str]]
_names = weakref.WeakKeyDictionary()


def _name_in(outer: Any, inner: Any) -> str:
    """Return the path of a layer inside another one, "" if it is not there.

    Looking through all layers for each op would take ages in a deep network.
    """
    known = _names.get(outer)
    name = None if known is None else known.get(inner)
    if name == "" or (name and _at(outer, name) is inner):
        return name
    _names[outer] = known = weakref.WeakKeyDictionary()
    for path, child in outer.named_modules():
        known.setdefault(child, path)
    return known.setdefault(inner, "")


def _at(outer: Any, path: str) -> Any:
    for name in path.split("."):
        outer = getattr(outer, "__dict__", {}).get(name)
    return outer


def layer_of(where: str) -> str:
    """Return the path of the layer that was running at a line, "" if not known."""
    return getattr(where, "layer", "")


def optional(module: str, extra: str, purpose: str) -> Any:
    """Import an optional library, or say what to install.

    Args:
        module: the name to import.
        extra: the extra of plait that brings it.
        purpose: what it is needed for, completing "needed to ...".

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the library {module!r} is needed to {purpose}",
            got=str(error),
            fix=f'pip install "plait[{extra}]"',
        ) from error
