"""Values out of Python pickles, of which nothing is executed.

A pickle is a program for a small stack machine, and Python's own machine calls whatever
function the program names. The one here knows only the instructions that build numbers,
texts, bytes, tuples, lists and dictionaries. Where a program names a function, the
caller's table says what to do instead; a name that is not in the table is an error.

Memory stays in proportion to the pickle: no instruction pushes more than it reads, and
what the caller's functions make counts against a budget.

Read first: `read_pickle`, `NUMPY_BUILDERS`.

Source: the instructions are documented in the standard library's `pickletools`, which
also takes them apart here.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FileFormatError

Builder = Callable[..., Any]

_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT",
    "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS: dict[str, Any] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
# Texts of Python 2, which may hold any bytes.
_BYTE_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
# Of tuples, Python computes the hash anew each time, and nested ones may be of
# exponential size in the length of the pickle.
_KEYS = (str, bytes, int, float, type(None))
# What the builders make may be a few times as large as the pickle, but not more: one
# text in it can be named by any number of calls.
_BUDGET_TIMES, _BUDGET_PLUS = 4, 1 << 20


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names; nothing is imported for it.

    Attributes:
        path: module and name, such as "collections.OrderedDict".
    """

    path: str


class PickledDType:
    """A NumPy element type while it is being read.

    Args:
        code: kind and size, such as "f4"; of numbers and bools alone.
    """

    def __init__(self, code: Any) -> None:
        if isinstance(code, bytes):
            code = code.decode("ascii")
        if not isinstance(code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
            raise FileFormatError(
                "[read_pickle] the elements of an array are no plain numbers",
                expected="bools, integers or floats",
            )
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        """Take the byte order from the second entry of NumPy's state."""
        order = state[1]
        if isinstance(order, bytes):
            order = order.decode("ascii")
        if order not in ("<", ">", "|", "="):
            raise FileFormatError("[read_pickle] an element type has no byte order")
        self.dtype = self.dtype.newbyteorder(order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray[Any, Any]:
    # What it is comes with the state, in `_set_array`.
    return np.empty(0, np.uint8)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return _array(content, dtype, shape, order in ("F", b"F"))


def _scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, (), False)[()]


def _array(content: Any, dtype: Any, shape: Any, columns_first: bool) -> Any:
    if not isinstance(dtype, PickledDType) or not isinstance(content, bytes):
        raise FileFormatError("[read_pickle] an array holds no plain numbers")
    sizes = tuple(shape)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise FileFormatError("[read_pickle] the shape of an array is malformed")
    size = math.prod(sizes) * dtype.dtype.itemsize
    if size != len(content):
        raise FileFormatError(
            "[read_pickle] an array has not the announced size",
            got=f"{len(content)} bytes",
            expected=f"{size} bytes for shape {sizes} of {dtype.dtype.name}",
        )
    flat = np.frombuffer(content, dtype.dtype)
    return flat.reshape(sizes, order="F" if columns_first else "C")


def _encode(text: Any, encoding: Any) -> bytes:
    """Return bytes that a pickle of an old protocol holds as text."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise FileFormatError("[read_pickle] bytes are not spelled in Latin-1")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """Return what old protocols make by a call, for want of an instruction."""
    return b""


def _class() -> None:
    """Stand for a class that is only handed to a function of the table."""


# How NumPy's arrays and numbers are made, under the names of NumPy 1 and 2.
NUMPY_BUILDERS: dict[str, Builder] = {
    "_codecs.encode": _encode,
    "numpy.dtype": lambda code, *flags: PickledDType(code),
    "numpy.ndarray": _class,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
    **{
        f"numpy.{folder}.{name}": builder
        for folder in ("core", "_core")
        for name, builder in (
            ("multiarray._reconstruct", _reconstruct),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}


def read_pickle(
    source: bytes | io.BytesIO,
    builders: Mapping[str, Builder] = NUMPY_BUILDERS,
    *,
    name: str = "<bytes>",
    persistent: Builder | None = None,
) -> Any:
    """Return the value in a pickle, without running anything that it asks for.

    Args:
        source: the pickle; or a stream of bytes, left after the pickle's end.
        builders: what to call instead of a function or class that the pickle names, by
            module and name, with the pickle's arguments. Default: NumPy's arrays.
            Whatever has a method `set_state` is given the state that the pickle
            holds for it; of other values, but for arrays, the state is dropped.
        name: what to call the file in errors.
        persistent: what to call for an object that is kept outside the pickle, with
            what the pickle says of it. Default: there may be none.

    Returns:
        Numbers, texts, bytes (of Python 2's texts, too), None, tuples, lists,
        dictionaries, and what the builders return.

    Raises:
        FileFormatError: the pickle is damaged or cut off, or names anything else.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    start = stream.tell()
    machine = _Machine(builders, persistent, stream.seek(0, io.SEEK_END) - start)
    stream.seek(start)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return machine.result()
    except FileFormatError as error:
        what = error.what.removeprefix("[read_pickle] ")
        raise FileFormatError(
            f"[read_pickle] {name}: {what}",
            got=error.got,
            expected=error.expected,
            fix=error.fix,
        ) from None
    # A damaged pickle takes from an empty stack, appends to numbers, and so on.
    except Exception as error:
        raise FileFormatError(
            f"[read_pickle] {name}: the pickle is damaged or cut off",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            fix="get the file again",
        ) from None


class _Machine:
    """The stack and the memory of one run."""

    def __init__(
        self, builders: Mapping[str, Builder], persistent: Builder | None, size: int
    ) -> None:
        self.builders = builders
        self.persistent = persistent
        self.budget = _BUDGET_TIMES * size + _BUDGET_PLUS
        self.stack: list[Any] = []
        # The stacks below the marks that are still open.
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        if opcode in _LITERALS:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _BYTE_TEXTS:
            stack.append(argument.encode("latin-1"))
        elif opcode in _PUTS:
            self.memo[argument] = stack[-1]
        elif opcode in _GETS:
            stack.append(self.memo[argument])
        elif opcode in _SHORT_TUPLES:
            count = _SHORT_TUPLES[opcode]
            if len(stack) < count:
                raise FileFormatError("[read_pickle] too few elements for a tuple")
            stack[-count:] = [tuple(stack[-count:])]
        else:
            method = _METHODS.get(opcode)
            if method is None:
                raise FileFormatError(
                    "[read_pickle] it holds more than plain values and arrays",
                    got=f"the instruction {opcode}",
                )
            method(self, argument)

    def result(self) -> Any:
        """Return the value that is left on the stack."""
        if len(self.stack) != 1 or self.below or isinstance(self.stack[0], Name):
            raise FileFormatError("[read_pickle] it does not end with one value")
        return self.stack[0]

    def _ignore(self, argument: Any) -> None:
        pass

    def _mark(self, argument: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        since, self.stack = self.stack, self.below.pop()
        return since

    def _pop(self, argument: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, argument: Any) -> None:
        self._since_mark()

    def _duplicate(self, argument: Any) -> None:
        self.stack.append(self.stack[-1])

    def _memoize(self, argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _byte_array(self, argument: Any) -> None:
        self.stack.append(bytes(argument))

    def _tuple(self, argument: Any) -> None:
        since = tuple(self._since_mark())
        self.stack.append(since)

    def _list(self, argument: Any) -> None:
        since = self._since_mark()
        self.stack.append(since)

    def _empty_list(self, argument: Any) -> None:
        self.stack.append([])

    def _append(self, argument: Any) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _appends(self, argument: Any) -> None:
        since = self._since_mark()
        self._top(list).extend(since)

    def _empty_dict(self, argument: Any) -> None:
        self.stack.append({})

    def _dict(self, argument: Any) -> None:
        since = self._since_mark()
        self.stack.append({})
        self._set_items(since)

    def _set_item(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _set_items_since_mark(self, argument: Any) -> None:
        self._set_items(self._since_mark())

    def _set_items(self, flat: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise FileFormatError(
                    "[read_pickle] a key of a dictionary is no text and no number",
                    got=f"a {type(key).__name__}",
                )
            target[key] = value

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise FileFormatError(
                f"[read_pickle] something is added to what is no {kind.__name__}"
            )
        return self.stack[-1]

    def _name(self, argument: Any) -> None:
        self.stack.append(self._known(argument.replace(" ", ".")))

    def _name_from_stack(self, argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise FileFormatError("[read_pickle] a name is no text")
        self.stack.append(self._known(f"{module}.{name}"))

    def _known(self, path: str) -> Name:
        if path not in self.builders:
            raise FileFormatError(
                "[read_pickle] it holds more than plain values and arrays",
                got=f"something made by {path[:100]!r}",
                fix="only a program that you trust should open it: save the arrays "
                "alone with that",
            )
        return Name(path)

    def _call(self, argument: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise FileFormatError("[read_pickle] what it calls is no function")
        made = self.builders[function.path](*arguments)
        self._charge(made)
        self.stack.append(made)

    def _set_state(self, argument: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if hasattr(target, "set_state"):
            target.set_state(state)
        elif isinstance(target, np.ndarray):
            _, shape, dtype, columns_first, content = state
            made = _array(content, dtype, shape, bool(columns_first))
            self._charge(made)
            # The memory may hold the array already, so that it must become this one.
            plain: Any = (1, made.shape, made.dtype, False, made.tobytes())
            target.__setstate__(plain)

    def _charge(self, made: Any) -> None:
        if isinstance(made, bytes):
            self.budget -= len(made)
        elif isinstance(made, np.ndarray):
            self.budget -= made.nbytes
        if self.budget < 0:
            raise FileFormatError("[read_pickle] it unfolds to many times its size")

    def _outside(self, argument: Any) -> None:
        if self.persistent is None:
            raise FileFormatError("[read_pickle] parts of it are kept elsewhere")
        self.stack.append(self.persistent(self.stack.pop()))


_METHODS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine._ignore,
    "FRAME": _Machine._ignore,
    "STOP": _Machine._ignore,
    "MARK": _Machine._mark,
    "POP": _Machine._pop,
    "POP_MARK": _Machine._pop_mark,
    "DUP": _Machine._duplicate,
    "MEMOIZE": _Machine._memoize,
    "BYTEARRAY8": _Machine._byte_array,
    "TUPLE": _Machine._tuple,
    "LIST": _Machine._list,
    "EMPTY_LIST": _Machine._empty_list,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "DICT": _Machine._dict,
    "EMPTY_DICT": _Machine._empty_dict,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items_since_mark,
    "GLOBAL": _Machine._name,
    "STACK_GLOBAL": _Machine._name_from_stack,
    "REDUCE": _Machine._call,
    "BUILD": _Machine._set_state,
    "BINPERSID": _Machine._outside,
}
