"""Lifts ops over Nodes to functions over tensors.

A parameter annotated as a Node (or an Operand, which may be a Python number) takes a
tensor; the others are static and become part of the recorded step's key.

Read first: `lift`, `Lifted`.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import ref

import numpy as np

from ..arguments import Parameters, misbound, shown
from ..dtypes import DType, as_dtype
from ..errors import ArgumentTypeError, PlaitError, user_line
from ..ir.graph import Node
from . import trie
from .record import enter, record
from .trie import pending, recorder

_RANDOM_KEY = "RandomKey"
_OPERANDS = {"Node", "Operand", "Node | None", "Operand | None", _RANDOM_KEY}
_SEQUENCES = {"Sequence[Node]", "Sequence[Operand]"}
# PyTorch's words, accepted beside the Array API's.
_SYNONYMS = {"dim": "axis", "keepdim": "keepdims", "dim0": "axis0", "dim1": "axis1"}
_OPERAND_CLASSES = (bool, int, float, np.ndarray, np.generic)
_SIMPLE = (int, float, str, type(None), DType)


class Lifted:
    """What recording needs to know of one op.

    Attributes:
        op: the function over Nodes.
        names: its parameters in order; `operands` those that take tensors, `required`
            those without a default.
        leading: how many operands stand first and are required.
        variadic: the place of `*operands`, or -1.
        draws: whether it needs a key of random numbers.
    """

    __slots__ = (
        "op", "name", "names", "operands", "sequences", "defaults", "positional",
        "leading", "variadic", "draws", "signature", "required",
    )  # fmt: skip

    def __init__(self, op: Callable[..., Any]) -> None:
        self.op = op
        self.name = op.__name__.rstrip("_")
        self.signature = inspect.signature(op)
        parameters = list(self.signature.parameters.values())
        kinds = [p.kind is p.VAR_POSITIONAL for p in parameters]
        self.variadic = kinds.index(True) if True in kinds else -1
        self.names = [p.name for p in parameters]
        self.operands = {
            p.name for p in parameters if p.annotation in _OPERANDS | _SEQUENCES
        }
        self.sequences = {
            p.name
            for p in parameters
            if p.annotation in _SEQUENCES or p.kind is p.VAR_POSITIONAL
        }
        self.defaults = {
            p.name: p.default for p in parameters if p.default is not p.empty
        }
        self.required = {*self.names} - {*self.defaults}
        self.positional = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
        self.draws = any(p.annotation == _RANDOM_KEY for p in parameters)
        self.leading = 0
        for p in parameters:
            if p.annotation not in _OPERANDS or p.default is not p.empty:
                break
            self.leading += 1

    def __call__(self, *values: Any) -> Any:
        """Run the op on nodes: operands first, then static values, in order."""
        if self.variadic >= 0:
            operands, *static = values
            n = self.variadic
            named = dict(zip(self.names[n + 1 :], static[n:], strict=True))
            return self.op(*static[:n], *operands, **named)
        order = [n for n in self.names if n in self.operands]
        order += [n for n in self.names if n not in self.operands]
        given = dict(zip(order, values, strict=True))
        positional = [given.pop(name) for name in self.names[: self.positional]]
        return self.op(*positional, **given)

    def bind(
        self, args: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[list[Any], tuple[Any, ...]]:
        """Return the operands and the static values of a call, in order.

        Raises:
            ArgumentTypeError: an argument is missing, unknown, given twice, or of a
                kind that cannot be static.
        """
        known = [self._known(name) for name in named]
        values = dict(zip(self.names, args, strict=False))
        values.update(zip(known, named.values(), strict=True))
        if (
            len(args) > self.positional
            or len(values) < len(args) + len(named)
            or not self.required <= values.keys() <= {*self.names}
        ):
            shown = _public_signature(self.signature)
            wrong = misbound(self.name, shown, args, known)
            assert wrong is not None
            raise wrong
        full = {**self.defaults, **values}
        operands = [
            self._sequence(name, full[name]) if name in self.sequences else full[name]
            for name in self.names
            if name in self.operands
        ]
        for name in self.required & self.operands:
            if full[name] is None:
                raise ArgumentTypeError(
                    f"[{self.name}] {name} must be a tensor, not None",
                    expected=self.describe(),
                )
        static = tuple(
            self.static(name, full[name])
            for name in self.names
            if name not in self.operands
        )
        return operands, static

    def _known(self, name: str) -> str:
        """Return the name that an argument has here: PyTorch's words do too."""
        ours = _SYNONYMS.get(name, name)
        return ours if name not in self.names and ours in self.names else name

    def describe(self) -> str:
        """Return the signature as text."""
        signature = _public_signature(self.signature)
        return self.name + str(signature.replace(return_annotation=signature.empty))

    def _sequence(self, name: str, value: Any) -> list[Any]:
        if isinstance(value, (list, tuple)):
            return list(value)
        raise ArgumentTypeError(
            f"[{self.name}] {name} must be a list or tuple of tensors",
            got=f"a {type(value).__name__}",
        )

    def static(self, name: str, value: Any) -> Any:
        """Return `value` in the one hashable form that a step's key has."""
        if name == "dtype" and value is not None:
            return as_dtype(value)
        if isinstance(value, bool) or value is None or isinstance(value, (str, DType)):
            return value
        if isinstance(value, (list, tuple)):
            return tuple(self.static("", item) for item in value)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, (int, float)):
            return value
        if isinstance(value, (np.dtype, type)):
            return as_dtype(value)
        try:
            return operator.index(value)
        except TypeError:
            raise ArgumentTypeError(
                f"[{self.name}] {name or 'an item'} must be a plain value",
                got=f"a {type(value).__name__}",
                expected=self.describe(),
            ) from None


def _is_simple(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_simple(item) for item in value)
    return isinstance(value, _SIMPLE)


def lift(op: Callable[..., Any]) -> Any:
    """Return the function over tensors that records `op` as one step."""
    spec = Lifted(op)
    if spec.variadic >= 0:
        function = _lift_variadic(spec)
    elif spec.leading == len(spec.names) == 1:
        function = _lift_unary(spec)
    elif spec.leading == len(spec.names) == 2:
        function = _lift_binary(spec)
    else:
        function = _lift_any(spec)
    lifted = functools.wraps(op)(function)
    lifted.__name__ = lifted.__qualname__ = spec.name
    lifted.__module__ = "plait"
    lifted.__annotations__ = {}
    lifted.__signature__ = _public_signature(spec.signature)  # type: ignore[attr-defined]
    lifted.spec = spec  # type: ignore[attr-defined]
    return lifted


def _public_signature(signature: inspect.Signature) -> inspect.Signature:

    def public(annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        return annotation.replace("Operand", "Tensor | float").replace("Node", "Tensor")

    return signature.replace(
        parameters=[
            p.replace(annotation=public(p.annotation))
            for p in signature.parameters.values()
        ],
        return_annotation=public(signature.return_annotation),
    )


def _advance(trace: Any, step: Any) -> Any:
    trace.step = step
    result = step.result
    if result.__class__ is Node:
        return pending(trace, result)
    return tuple([pending(trace, node) for node in result])


def _lift_unary(spec: Lifted) -> Callable[..., Any]:
    new = object.__new__

    def function(*args: Any, **named: Any) -> Any:
        if len(args) == 1 and not named:
            trace = recorder.trace
            try:
                x = args[0]
                node = x._node if x._trace is trace else enter(trace, x)
            except AttributeError:
                return _slowly(spec, args, named)
            step = trace.step.next.get((spec, node))
            if step is not None:
                if step.result.__class__ is tuple:
                    return _advance(trace, step)
                # What _advance does, written out.
                trace.step = step
                tensor = new(trie.handle)
                tensor._trace = trace
                tensor._node = step.result
                trace.pending.append(ref(tensor))
                return tensor
        return _slowly(spec, args, named)

    return function


def lift_operator(op: Callable[..., Any]) -> Any:
    """Return the method of a binary operator: NotImplemented for what is no operand."""
    spec = Lifted(op)

    def slow(x: Any, y: Any) -> Any:
        return _slowly(spec, (x, y), {}) if is_operand(y) else NotImplemented

    return _fast_binary(spec, slow)


def is_operand(x: Any) -> bool:
    """Return whether operators accept `x` beside a tensor."""
    return isinstance(x, (trie.handle, *_OPERAND_CLASSES))


def _lift_binary(spec: Lifted) -> Callable[..., Any]:
    fast = _fast_binary(spec, lambda x, y: _slowly(spec, (x, y), {}))

    def function(*args: Any, **named: Any) -> Any:
        if named or len(args) != 2:
            args = tuple(spec.bind(args, named)[0])
        return fast(*args)

    return function


def _fast_binary(spec: Lifted, slow: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return the shortest way to record a function of two operands."""
    new = object.__new__

    def function(x: Any, y: Any) -> Any:
        trace = recorder.trace
        try:
            node = x._node if x._trace is trace else enter(trace, x)
            kind = y.__class__
            if kind is float:
                step = trace.step.next.get((spec, node, float))
                if step is not None:
                    trace.values.append(y)
                    trace.owners.append(None)
                    return _advance(trace, step)
            elif kind is not int and kind is not bool:
                other = y._node if y._trace is trace else enter(trace, y)
                step = trace.step.next.get((spec, node, other))
                if step is not None:
                    # What _advance does, written out: this is the hottest path of all.
                    trace.step = step
                    tensor = new(trie.handle)
                    tensor._trace = trace
                    tensor._node = step.result
                    trace.pending.append(ref(tensor))
                    return tensor
        except AttributeError:
            pass
        return slow(x, y)

    return function


def _lift_any(spec: Lifted) -> Callable[..., Any]:
    leading = spec.leading
    operands = spec.operands
    plain = len(operands) == leading
    new = object.__new__
    # How many positional arguments are tensors, if all of them are, but at most three.
    most = 0
    for name in spec.names[: min(spec.positional, 3)]:
        if name not in operands or name in spec.sequences:
            break
        most += 1

    def function(*args: Any, **named: Any) -> Any:
        trace = recorder.trace
        count = 0 if named else len(args)
        if 2 <= count <= most:
            # Tensors alone, as layers and losses call: the general way, written out.
            try:
                x, y = args[0], args[1]
                x = x._node if x._trace is trace else enter(trace, x)
                y = y._node if y._trace is trace else enter(trace, y)
                if count == 2:
                    key: tuple[Any, ...] = (spec, x, y)
                else:
                    z = args[2]
                    z = z._node if z._trace is trace else enter(trace, z)
                    key = (spec, x, y, z)
            except AttributeError:
                pass
            else:
                step = trace.step.next.get(key)
                if step is None:
                    return _slowly(spec, args, named, alias=key)
                if step.result.__class__ is not Node:
                    return _advance(trace, step)
                trace.step = step
                tensor = new(trie.handle)
                tensor._trace = trace
                tensor._node = step.result
                trace.pending.append(ref(tensor))
                return tensor
        parts: list[Any] = [spec]
        try:
            for x in args[:leading]:
                parts.append(x._node if x._trace is trace else enter(trace, x))
            rest = args[leading:]
            if named and not (plain or operands.isdisjoint(named)):
                return _slowly(spec, args, named)
            if rest and not plain:
                for x in rest:
                    if x is None or x.__class__ in _STATIC_CLASSES:
                        parts.append(x)
                    else:
                        parts.append(x._node if x._trace is trace else enter(trace, x))
                rest = ()
            parts.append(rest)
            parts.append(tuple(named.items()))
            step = trace.step.next.get(tuple(parts))
        except (AttributeError, TypeError):
            return _slowly(spec, args, named)
        if step is None:
            return _slowly(spec, args, named, alias=tuple(parts))
        return _advance(trace, step)

    return function


_STATIC_CLASSES = frozenset((str, tuple, DType))


def _lift_variadic(spec: Lifted) -> Callable[..., Any]:
    """Lift `op(static, ..., *tensors, **static)`; several results come as a list, as
    the Array API asks of these functions.
    """
    before = spec.variadic

    def function(*args: Any, **named: Any) -> Any:
        first, operands = args[:before], list(args[before:])
        static = spec.bind((*first, operands), named)[1]
        result = _recorded(spec, [operands], static)
        return list(result) if isinstance(result, tuple) else result

    return function


def _slowly(
    spec: Lifted, args: Sequence[Any], named: Mapping[str, Any], alias: Any = None
) -> Any:
    """Bind, enter and record; remember the raw spelling of the call as an alias."""
    trace = recorder.trace
    before = trace.step
    key = alias
    if alias is not None and spec in trie.roots.located:
        # What may fail when it runs is a step for each line that records it.
        key = (alias, user_line())
        found = before.next.get(key)
        if found is not None:
            return _advance(trace, found)
    operands, static = spec.bind(args, named)
    result = _recorded(spec, operands, static)
    if (
        alias is not None
        and recorder.trace is trace
        and trace.step.parent is before
        and not trace.step.leaves
        and all(_is_simple(v) for part in alias[1:] for v in _values(part))
    ):
        if key is alias and spec in trie.roots.located:
            key = (alias, user_line())  # it was recorded for the first time
        before.next.setdefault(key, trace.step)
    return result


def _recorded(spec: Lifted, operands: list[Any], static: tuple[Any, ...]) -> Any:
    """Record an op; what Python says of arguments that do not fit is said plainly."""
    try:
        return record(spec, operands, static)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as e:
        if not isinstance(e, PlaitError):
            _refuse_misfits(spec, operands, static)
        raise


def _refuse_misfits(
    spec: Lifted, operands: Sequence[Any], static: tuple[Any, ...]
) -> None:
    """Raise if an argument is not what it must be."""
    names = [name for name in spec.names if name in spec.operands]
    for name, x in zip(names, operands, strict=False):
        endless = isinstance(x, int) and not -(1 << 63) <= x < 1 << 63
        if endless or (isinstance(x, (list, tuple)) and name not in spec.sequences):
            raise ArgumentTypeError(
                f"[{spec.name}] {name} must be a tensor",
                got=shown(x),
                fix="convert it with plait.asarray",
            )
    names = [name for name in spec.names if name not in spec.operands]
    given = dict(zip(names, static, strict=True))
    Parameters(spec.op).check(spec.name, (), given)


def _values(part: Any) -> Sequence[Any]:
    if isinstance(part, Node):
        return ()
    if isinstance(part, tuple):
        return part
    return (part,)
