"""The checks that every primitive passes, each written once.

A check takes a `Case`, a primitive with one of its samples, and raises AssertionError
where the primitive's rules do not agree with one another, with the oracle, or with
finite differences. `excuse` of a check says why it does not apply to a case, or "".

Used by `test_every_primitive.py` and by `tools/primitive_table.py`.

Read first: `CHECKS`, `check_reference`, `check_gradient`.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from plait import dtypes
from plait.dtypes import DType, as_dtype
from plait.errors import DTypeError
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, Node, TensorType
from plait.ir.primitive import Failure, Primitive, Sample
from plait.ir.text import from_text, to_text
from plait.ir.verify import verify
from plait.transform import ALL_PRIMITIVES
from plait.transform.batch import batch
from plait.transform.differentiate import pull_back
from plait.transform.push_forward import push_forward

from .oracles import ORACLES, DefinedBy, Property, as_type
from .torch_table import TORCH, torch

PRIMITIVES: tuple[Primitive, ...] = ALL_PRIMITIVES


@dataclass(frozen=True)
class Case:
    """One sample of one primitive."""

    primitive: Primitive
    index: int
    sample: Sample

    @property
    def name(self) -> str:
        return f"{self.primitive.name}-{self.index}"

    @property
    def operands(self) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(x) for x in self.sample.operands)

    @property
    def smooth(self) -> bool:
        """Whether finite differences tell the truth, of those operands that vary."""
        name = self.primitive.name
        return self.sample.smooth or name in NO_REVERSE or name in CONSTANT_OPERANDS

    @property
    def attributes(self) -> dict[str, Any]:
        return self.sample.attributes


def cases(primitive: Primitive) -> list[Case]:
    return [Case(primitive, i, s) for i, s in enumerate(primitive.samples())]


def failures(primitive: Primitive) -> list[Failure]:
    return list(primitive.failures())


# Recording and running


@dataclass(frozen=True)
class Recorded:
    """A case as a graph: its inputs, and the results that are tensors."""

    inputs: list[Node]
    results: list[Node]

    @property
    def varied(self) -> list[int]:
        """The positions of the inputs that there is a derivative for."""
        return [i for i, x in enumerate(self.inputs) if x.differentiable]

    @property
    def used(self) -> list[int]:
        """The positions of the results that have a derivative."""
        return [i for i, y in enumerate(self.results) if y.differentiable]


# Operands that are constants by definition, and why.
CONSTANT_OPERANDS: dict[str, tuple[int, str]] = {
    "custom_vjp": (1, "what it captures gets no cotangent from the user's function"),
}


def record(
    primitive: Primitive, operands: Sequence[np.ndarray], attributes: dict[str, Any]
) -> Recorded:
    constants, _ = CONSTANT_OPERANDS.get(primitive.name, (0, ""))
    inputs = [like(x, differentiable=i >= constants) for i, x in enumerate(operands)]
    node = apply(primitive, *inputs, **attributes)
    results = picks(node) if isinstance(node.type, tuple) else (node,)
    return Recorded(inputs, list(results))


def like(x: np.ndarray, differentiable: bool = True) -> Node:
    """Return an input of the type of `x`, differentiable if it is floating-point."""
    dtype = as_dtype(x.dtype)
    return make_input(x.shape, dtype, differentiable=differentiable and dtype.is_float)


def evaluate(
    primitive: Primitive, operands: Sequence[np.ndarray], attributes: dict[str, Any]
) -> list[np.ndarray]:
    """Return the results of the reference, as a list."""
    result = primitive.reference(*operands, **attributes)
    return list(result) if isinstance(result, tuple) else [result]


def types_of(node_type: Any) -> tuple[TensorType, ...]:
    return node_type if isinstance(node_type, tuple) else (node_type,)


# Comparing


def epsilon(dtype: DType) -> float:
    return float(ml_dtypes.finfo(dtype.numpy).eps)


def assert_same(
    actual: np.ndarray,
    expected: Any,
    dtype: DType,
    what: str,
    *,
    ulps: float = 8,
    relative_to_greatest: bool = False,
    zeros: bool = True,
) -> None:
    """Raise unless `actual` is `expected` rounded, or wrapped around, to `dtype`.

    Args:
        ulps: how many units in the last place a floating-point number may be off.
        relative_to_greatest: count them in units of the greatest element.
        zeros: also compare the sign of zeros.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (
        f"{what}: {actual.shape}, not {expected.shape}"
    )
    right = as_type(expected, dtype)
    if not dtype.is_float:
        assert_all(actual == right, actual, right, what)
        return
    a, e = actual.astype(np.float64), right.astype(np.float64)
    finite = np.isfinite(e)
    scale = np.abs(e)
    if relative_to_greatest and finite.any():
        scale = np.full(e.shape, np.abs(e[finite]).max())
    unit = float(ml_dtypes.finfo(dtype.numpy).smallest_subnormal)
    with np.errstate(all="ignore"):
        near = np.abs(a - e) <= ulps * epsilon(dtype) * scale + 2 * unit
    same = np.where(np.isnan(e), np.isnan(a), (a == e) | (finite & near))
    if zeros and not relative_to_greatest:
        same &= (a != 0) | (e != 0) | (np.signbit(a) == np.signbit(e))
    assert_all(same, a, e, what)


def assert_all(same: Any, actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Raise unless all of `same` are true, showing the first positions that are not."""
    wrong = np.argwhere(~np.asarray(same)).tolist()
    if wrong:
        shown = "; ".join(
            f"{actual[tuple(at)]} is not {expected[tuple(at)]} at {at}"
            for at in wrong[:4]
        )
        raise AssertionError(f"{what}: {len(wrong)} of {actual.size} differ: {shown}")


def close(actual: Any, expected: Any, what: str, tolerance: float = 1e-6) -> None:
    """Raise unless two float64 arrays agree, relative to the greatest element."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    room = tolerance * max(1.0, float(np.abs(expected).max(initial=0)))
    assert_all(np.abs(actual - expected) <= room, actual, expected, what)


# How near the reference comes to the oracle, in units in the last place, where 8 is too
# strict; and results that leave the sign of a zero open.
ULPS: dict[str, float] = {}
ANY_ZERO: dict[str, str] = {
    "maximum": "the standard leaves the order of -0.0 and 0.0 open",
    "minimum": "the standard leaves the order of -0.0 and 0.0 open",
    "polygamma": "the sign of what underflows far from 0 is not kept",
}


def compare_with_oracle(
    primitive: Primitive, operands: Sequence[np.ndarray], attributes: dict[str, Any]
) -> None:
    """Raise unless reference, `infer` and oracle agree."""
    types = [TensorType(x.shape, as_dtype(x.dtype)) for x in operands]
    inferred = types_of(primitive.infer(*types, **attributes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = evaluate(primitive, operands, attributes)
    assert len(results) == len(inferred), f"{len(results)} results, not {len(inferred)}"
    for i, (result, type) in enumerate(zip(results, inferred, strict=True)):
        what = f"result {i}" if len(results) > 1 else "result"
        assert isinstance(result, np.ndarray | np.generic), f"{what} is {result!r}"
        assert result.shape == type.shape, f"{what}: {result.shape}, not {type.shape}"
        assert result.dtype == type.dtype.numpy, f"{what}: {result.dtype}, not {type!r}"
    entry = ORACLES[primitive.name]
    if isinstance(entry, Property):
        exact = [np.asarray(x, np.float64) for x in operands]
        found = [np.asarray(y, np.float64) for y in results]
        room = 64 * max(epsilon(type.dtype) for type in inferred)
        for what, actual, expected in entry.claims(exact, found, **attributes):
            close(actual, expected, what, room)
        return
    oracle = entry.oracle if isinstance(entry, DefinedBy) else entry
    with np.errstate(all="ignore"):
        expected = oracle(*operands, **attributes)
    if not isinstance(expected, tuple):
        expected = (expected,)
    for i, (result, right) in enumerate(zip(results, expected, strict=True)):
        assert_same(
            result,
            right,
            inferred[i].dtype,
            f"reference against oracle, result {i}",
            ulps=ULPS.get(primitive.name, 8),
            relative_to_greatest=primitive.batch != "elementwise",
            zeros=primitive.name not in ANY_ZERO,
        )


def always(case: Case) -> str:
    return ""


def check_reference(case: Case) -> None:
    """The reference gives what the oracle gives, in the shape and dtype of `infer`."""
    compare_with_oracle(case.primitive, case.operands, case.attributes)


# Element types


def with_dtype(x: np.ndarray, dtype: DType) -> np.ndarray:
    """Return `x` as `dtype`, going through int64 so that no conversion is undefined."""
    with np.errstate(all="ignore"):
        if dtype.is_integer and x.dtype.kind == "f":
            x = np.nan_to_num(np.clip(x, -100, 100)).astype(np.int64)
        return x.astype(dtype.numpy)


def swept_dtypes(case: Case) -> Iterator[tuple[DType, tuple[np.ndarray, ...]]]:
    """Yield the operands of a case in every dtype.

    The floating-point operands change together; where there are none, all that have
    the dtype of the first.
    """
    operands = case.operands
    if not operands:
        return
    floats = [as_dtype(x.dtype).is_float for x in operands]
    changed = (
        floats if any(floats) else [x.dtype == operands[0].dtype for x in operands]
    )
    for dtype in dtypes.ALL:
        yield (
            dtype,
            tuple(
                with_dtype(x, dtype) if change else x
                for x, change in zip(operands, changed, strict=True)
            ),
        )
        if dtype.is_integer and takes_extremes(case):
            yield dtype, extremes(dtype, len(operands))


def is_unspecified(case: Case, operands: Sequence[np.ndarray]) -> bool:
    """Return whether the primitive leaves open what it gives for `operands`.

    It casts floating-point numbers that no integer can hold, or searches in a table
    that the change of dtype has put out of order.
    """
    x = operands[0]
    if case.primitive.name == "search_sorted":
        lines = np.asarray(x, np.float64)
        return not np.array_equal(np.sort(lines, -1), lines, equal_nan=True)
    target = case.attributes.get("dtype")
    if case.primitive.name != "cast" or not target.is_integer:
        return False
    info = np.iinfo(target.numpy)
    floating = as_dtype(x.dtype).is_float
    return floating and not all(info.min <= v <= info.max for v in x.ravel().tolist())


# Elementwise primitives that the extreme integers are not for, and why.
NOT_AT_EXTREMES: dict[str, str] = {
    "bitwise_left_shift": "a shift by a negative number, or by all bits, is undefined",
    "bitwise_right_shift": "a shift by a negative number, or by all bits, is undefined",
    "class_number": "what it accepts depends on the number of classes",
    "wrap_index": "what it accepts depends on the size",
}


def takes_extremes(case: Case) -> bool:
    return (
        case.index == 0
        and case.primitive.batch == "elementwise"
        and case.primitive.name not in NOT_AT_EXTREMES
        and len({x.dtype for x in case.operands}) == 1
    )


def extremes(dtype: DType, count: int) -> tuple[np.ndarray, ...]:
    """Return operands in which each combination of extreme integers occurs."""
    info = np.iinfo(dtype.numpy)
    values = {
        int(info.min),
        int(info.min) + 1,
        0,
        1,
        2,
        int(info.max) - 1,
        int(info.max),
    }
    if info.min < 0:
        values |= {-1, -2}
    line = np.array(sorted(values), dtype.numpy)
    return tuple(x.ravel() for x in np.meshgrid(*[line] * count))


def no_operands(case: Case) -> str:
    return "" if case.operands else "no operands"


def excuse_dtypes(case: Case) -> str:
    if any(isinstance(value, Graph) for value in case.attributes.values()):
        return "the graphs it holds fix the dtypes"
    return no_operands(case)


def check_dtypes(case: Case) -> None:
    """In every dtype that `infer` accepts, the reference agrees with the oracle.

    Cotangents, too, have the dtype of their operands.
    """
    accepted = 0
    for dtype, operands in swept_dtypes(case):
        types = [TensorType(x.shape, as_dtype(x.dtype)) for x in operands]
        try:
            case.primitive.infer(*types, **case.attributes)
        except DTypeError:
            continue
        accepted += 1
        if is_unspecified(case, operands):
            continue
        try:
            compare_with_oracle(case.primitive, operands, case.attributes)
            if dtype.is_float and not excuse_gradient(case, smooth=False):
                check_cotangent_types(case.primitive, operands, case.attributes)
        except Exception as error:
            raise AssertionError(f"in {dtype.name}: {error}") from error
    assert accepted, "no dtype is accepted"


def check_cotangent_types(
    primitive: Primitive, operands: Sequence[np.ndarray], attributes: dict[str, Any]
) -> None:
    recorded = record(primitive, operands, attributes)
    wrt = [recorded.inputs[i] for i in recorded.varied]
    outputs = [recorded.results[i] for i in recorded.used]
    found = pull_back(outputs, [like_node(y) for y in outputs], wrt)
    for x, cotangent in zip(wrt, found, strict=True):
        if cotangent is not None:
            assert cotangent.type is x.type, f"cotangent {cotangent.type} of {x.type}"


def like_node(node: Node, differentiable: bool = False) -> Node:
    return make_input(node.shape, node.dtype, differentiable=differentiable)


# Derivatives


# Primitives with a derivative in forward mode only, and why.
NO_REVERSE: dict[str, str] = {
    "while_loop": "keeps no record of its steps to go back over",
}


def excuse_gradient(case: Case, smooth: bool = True) -> str:
    """Return why no derivative in reverse mode can be tested, or ""."""
    return NO_REVERSE.get(case.primitive.name) or excuse_jvp(case, smooth)


def excuse_jvp(case: Case, smooth: bool = True) -> str:
    """Return why no derivative in forward mode can be tested, or ""."""
    if not case.operands:
        return "no operands"
    if case.primitive.differentiable is False:
        return "defined to have no derivative"
    recorded = record(case.primitive, case.operands, case.attributes)
    if not recorded.varied:
        return "no floating-point operand"
    if not recorded.used:
        return "the result is not floating-point"
    if case.primitive.vjp is None and case.primitive.jvp is None:
        return "no derivative"
    if smooth and not case.smooth:
        return "not smooth"
    return ""


def directions(
    operands: Sequence[np.ndarray], floats: Sequence[int], rng: np.random.Generator
) -> Iterator[list[np.ndarray | None]]:
    """Yield directions in the space of the operands `floats`.

    Every axis of that space if it has few, else random directions for each operand and
    for all together.
    """
    total = sum(operands[i].size for i in floats)
    if total <= 40:
        for i in floats:
            for position in np.ndindex(*operands[i].shape):
                unit = np.zeros(operands[i].shape)
                unit[position] = 1
                yield [unit if j == i else None for j in range(len(operands))]
    else:
        for chosen in [[i] for i in floats for _ in range(2)] + [list(floats)]:
            yield [
                rng.normal(size=x.shape) if j in chosen else None
                for j, x in enumerate(operands)
            ]


def difference(
    function: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    operands: Sequence[np.ndarray],
    direction: Sequence[np.ndarray | None],
) -> list[np.ndarray]:
    """Return the derivative of `function` along `direction`, by central differences.

    Two step sizes are combined so that the error is of the fourth order (Richardson).
    """

    def along(step: float) -> list[np.ndarray]:
        ends = [
            function(
                [
                    x if d is None else x + sign * step * d
                    for x, d in zip(operands, direction, strict=True)
                ]
            )
            for sign in (1, -1)
        ]
        return [(a - b) / (2 * step) for a, b in zip(*ends, strict=True)]

    coarse, fine = along(2e-4), along(1e-4)
    return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)]


def inner(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """Return the sum of products of two lists of arrays; None is zero."""
    return float(
        sum(
            np.sum(x * y)
            for x, y in zip(xs, ys, strict=True)
            if x is not None and y is not None
        )
    )


def check_gradient(case: Case) -> None:
    """Reverse mode agrees with finite differences, for any results that are used."""
    rng = np.random.default_rng(0)
    operands = case.operands
    recorded = record(case.primitive, operands, case.attributes)
    used_sets = [recorded.used]
    if len(recorded.used) > 1:
        used_sets += [[i] for i in recorded.used]
    steps = list(directions(operands, recorded.varied, rng))

    def function(values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return evaluate(case.primitive, values, case.attributes)

    slopes = [difference(function, operands, step) for step in steps]
    for used in used_sets:
        outputs = [recorded.results[i] for i in used]
        values = [rng.normal(size=y.shape) for y in outputs]
        found = gradient_values(recorded, outputs, operands, values)
        got = [inner(step, found) for step in steps]
        expected = [inner(values, [slope[i] for i in used]) for slope in slopes]
        close(got, expected, f"cotangents from results {used}")


def gradient_values(
    recorded: Recorded,
    outputs: list[Node],
    operands: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray],
) -> list[np.ndarray | None]:
    """Return the values of the cotangents of the inputs, None where there is none."""
    inputs = recorded.inputs
    given = [like_node(y) for y in outputs]
    wrt = [inputs[i] for i in recorded.varied]
    pulled = iter(pull_back(outputs, given, wrt))
    found = [next(pulled) if x.differentiable else None for x in inputs]
    graph = Graph([*inputs, *given], [x for x in found if x is not None])
    verify(graph)
    for x, cotangent in zip(inputs, found, strict=True):
        if cotangent is not None:
            assert cotangent.type is x.type, f"cotangent {cotangent.type} of {x.type}"
    results = iter(interpret(graph, [*operands, *cotangents]))
    return [None if x is None else next(results) for x in found]


def check_second(case: Case) -> None:
    """The derivative of the derivative agrees with differences of the derivative."""
    rng = np.random.default_rng(1)
    operands = case.operands
    recorded = record(case.primitive, operands, case.attributes)
    outputs = [recorded.results[i] for i in recorded.used]
    given = [like_node(y, differentiable=True) for y in outputs]
    inputs = [*recorded.inputs, *given]
    found = pull_back(outputs, given, [recorded.inputs[i] for i in recorded.varied])
    first = [x for x in found if x is not None]
    both = Recorded(inputs, first)
    values = [*operands, *(rng.normal(size=y.shape) for y in outputs)]
    graph = Graph(inputs, first)
    weights = [rng.normal(size=x.shape) for x in first]
    got = gradient_values(both, first, values, weights)
    for step in directions(values, both.varied, rng):
        slope = difference(lambda at: interpret(graph, at), values, step)
        close(inner(step, got), inner(weights, slope), "second derivative", 1e-5)


# Forward mode


def check_jvp(case: Case) -> None:
    """Forward mode agrees with finite differences, and is the transpose of reverse."""
    rng = np.random.default_rng(3)
    operands = case.operands
    recorded = record(case.primitive, operands, case.attributes)
    outputs = [recorded.results[i] for i in recorded.used]
    floats = recorded.varied
    for varied in [[i] for i in floats] + ([floats] if len(floats) > 1 else []):
        step = [
            rng.normal(size=x.shape) if i in varied else None
            for i, x in enumerate(operands)
        ]
        got = tangent_values(recorded.inputs, outputs, operands, step)
        slope = difference(
            lambda at: evaluate(case.primitive, at, case.attributes), operands, step
        )
        for k, tangent in zip(recorded.used, got, strict=True):
            zero = np.zeros(slope[k].shape)
            right = zero if tangent is None else tangent
            close(right, slope[k], f"tangent of result {k} from operands {varied}")
        if case.primitive.name in NO_REVERSE:
            continue
        cotangents = [rng.normal(size=y.shape) for y in outputs]
        back = gradient_values(recorded, outputs, operands, cotangents)
        close(
            inner(cotangents, got), inner(back, step), "<ct, J t> - <J^T ct, t>", 1e-9
        )


def tangent_values(
    inputs: list[Node],
    outputs: list[Node],
    operands: Sequence[np.ndarray],
    step: Sequence[np.ndarray | None],
) -> list[np.ndarray | None]:
    """Return the values of the tangents of `outputs`, None where there is none."""
    given = {
        x: like_node(x) for x, t in zip(inputs, step, strict=True) if t is not None
    }
    found = push_forward(outputs, given)
    graph = Graph([*inputs, *given.values()], [x for x in found if x is not None])
    verify(graph)
    for y, tangent in zip(outputs, found, strict=True):
        if tangent is not None:
            assert tangent.type is y.type, f"tangent {tangent.type} of {y.type}"
    values = [*operands, *(t for t in step if t is not None)]
    results = iter(interpret(graph, values))
    return [None if x is None else next(results) for x in found]


# Vectorising

EXAMPLES = 3


def examples(x: np.ndarray) -> np.ndarray:
    """Return several operands like `x`: scaled a little, or in another order."""
    if x.dtype.kind in "biu":
        return np.stack([np.roll(x, i) for i in range(EXAMPLES)])
    with np.errstate(all="ignore"):
        return np.stack([x, x * x.dtype.type(1.05), x * x.dtype.type(0.95)])


def check_vmap(case: Case) -> None:
    """Vectorised over any operands, it is the loop over the examples."""
    operands = case.operands
    recorded = record(case.primitive, operands, case.attributes)
    for flags in itertools.product([False, True], repeat=len(operands)):
        if not any(flags):
            continue
        values = [
            examples(x) if flag else x for x, flag in zip(operands, flags, strict=True)
        ]
        inputs = [
            like(value) if flag else x
            for x, value, flag in zip(recorded.inputs, values, flags, strict=True)
        ]
        replaced = {
            x: new
            for x, new, flag in zip(recorded.inputs, inputs, flags, strict=True)
            if flag
        }
        found = batch(recorded.results, replaced)
        graph = Graph(inputs, [y for y, _ in found])
        verify(graph)
        got = interpret(graph, values)
        loop = [
            evaluate(
                case.primitive,
                [x[i] if f else x for x, f in zip(values, flags, strict=True)],
                case.attributes,
            )
            for i in range(EXAMPLES)
        ]
        for k, (y, batched) in enumerate(found):
            what = f"result {k} with operands {flags} batched"
            expected = np.stack([np.asarray(results[k]) for results in loop])
            actual = got[k] if batched else np.stack([got[k]] * EXAMPLES)
            assert_same(
                actual, expected, y.dtype, what, relative_to_greatest=True, zeros=False
            )


# Text


def check_text(case: Case) -> None:
    """The graph, and that of its derivative, keep the rules and survive as text."""
    recorded = record(case.primitive, case.operands, case.attributes)
    graph = Graph(recorded.inputs, recorded.results)
    copy = through_text(graph)
    for one, other in zip(
        interpret(graph, case.operands), interpret(copy, case.operands), strict=True
    ):
        assert one.tobytes() == other.tobytes(), (
            "the graph read back computes otherwise"
        )
    if not excuse_gradient(case, smooth=False):
        outputs = [recorded.results[i] for i in recorded.used]
        given = [like_node(y) for y in outputs]
        wrt = [recorded.inputs[i] for i in recorded.varied]
        found = pull_back(outputs, given, wrt)
        kept = [x for x in found if x is not None]
        through_text(Graph([*recorded.inputs, *given], kept))


def through_text(graph: Graph) -> Graph:
    """Return `graph` printed and read back, checked on the way."""
    verify(graph)
    text = to_text(graph)
    copy = from_text(text, PRIMITIVES)
    verify(copy)
    assert to_text(copy) == text, f"printed again it reads otherwise:\n{text}"
    return copy


# PyTorch


# Where PyTorch answers differently at infinities, and why plait does not follow.
TORCH_FINITE: dict[str, str] = {
    "copysign": "PyTorch divides the result by the operand, which is nan at infinities",
    "remainder": "the quotient by an infinity is -1 in PyTorch, -0 in the standard",
}


# Where PyTorch's derivative at the edges is wrong or missing: smooth samples alone are
# compared.
TORCH_SMOOTH: dict[str, str] = {
    "slogdet": "of a singular matrix it is infinite",
    "det": "PyTorch gives zeros for a singular matrix",
    "cofactor": "PyTorch's is computed with the inverse, which there must be",
    "polygamma": "PyTorch gives large finite numbers at the poles",
}


def comparable(case: Case) -> tuple[np.ndarray, ...] | str:
    """Return the operands without the elements where PyTorch's derivative is arbitrary.

    That is where an operand or the result is nan: PyTorch has no rule of its own there.
    """
    operands = case.operands
    floats = [x for x in operands if x.dtype.kind == "f"]
    bad = np.isinf if case.primitive.name in TORCH_FINITE else np.isnan
    if not any(np.isnan(x).any() or np.isinf(x).any() for x in floats):
        return operands
    if case.primitive.batch != "elementwise":
        return (
            "an operand is nan" if any(np.isnan(x).any() for x in floats) else operands
        )
    results = evaluate(case.primitive, operands, case.attributes)
    keep = ~functools.reduce(
        np.logical_or, [np.isnan(x) | bad(x) for x in (*floats, *results)]
    )
    return tuple(x[keep] for x in operands)


def excuse_torch(case: Case) -> str:
    """Return why PyTorch cannot judge the case, or ""; it need not be installed."""
    entry = TORCH.get(case.primitive.name, "no entry in the table")
    if isinstance(entry, str):
        return entry
    why_not = excuse_gradient(case, smooth=case.primitive.name in TORCH_SMOOTH)
    if why_not:
        return why_not
    results = record(case.primitive, case.operands, case.attributes).results
    if any(y.dtype is dtypes.bfloat16 for y in results):
        return "PyTorch does not take NumPy's bfloat16"
    operands = comparable(case)
    return operands if isinstance(operands, str) else ""


def check_torch(case: Case) -> None:
    """Result and cotangents agree with those of PyTorch."""
    rng = np.random.default_rng(2)
    function = TORCH[case.primitive.name]
    operands = comparable(case)
    assert not isinstance(function, str)
    assert not isinstance(operands, str)
    recorded = record(case.primitive, operands, case.attributes)
    used = recorded.used
    outputs = [recorded.results[i] for i in used]
    cotangents = [rng.normal(size=y.shape).astype(y.dtype.numpy) for y in outputs]
    found = gradient_values(recorded, outputs, operands, cotangents)
    values = evaluate(case.primitive, operands, case.attributes)
    tensors = [
        torch.tensor(x, requires_grad=i in recorded.varied)
        for i, x in enumerate(operands)
    ]
    results = function(*tensors, **case.attributes)
    results = results if isinstance(results, tuple) else (results,)
    for i in used:
        near_torch(case, values[i], results[i].detach().numpy(), f"result {i}")
    grads = torch.autograd.grad(
        [results[i] for i in used],
        [t for t in tensors if t.requires_grad],
        [torch.tensor(c) for c in cotangents],
        allow_unused=True,
    )
    theirs = iter(grads)
    for i, (tensor, ours) in enumerate(zip(tensors, found, strict=True)):
        if tensor.requires_grad:
            grad = next(theirs)
            zero = np.zeros(operands[i].shape)
            right = zero if grad is None else grad.detach().numpy()
            near_torch(case, zero if ours is None else ours, right, f"cotangent {i}")


# How near the functions come that PyTorch does not compute to full precision.
TORCH_TOLERANCE: dict[str, float] = {"digamma": 1e-8, "polygamma": 1e-8}


def near_torch(case: Case, ours: Any, theirs: np.ndarray, what: str) -> None:
    tolerance = TORCH_TOLERANCE.get(case.primitive.name, 1e-10)
    if theirs.dtype != np.float64:
        tolerance = 1e-4
    ours = np.asarray(ours)
    same = np.isclose(ours, theirs, tolerance, tolerance, equal_nan=True)
    assert_all(same, ours, theirs, f"{what} against torch")


# Failures


# Primitives that accept whatever they are given, and why.
CANNOT_FAIL: dict[str, str] = {
    "constant": "any array is a constant",
    "stop_gradient": "any tensor has a value",
    "variable": "any tensor has a value",
    "cast": "any dtype converts to any other",
}


def check_failure(primitive: Primitive, failure: Failure) -> None:
    """What must fail fails, with the class and the whole message of the record.

    What only the values can tell is refused when the reference runs.
    """
    types = [TensorType(x.shape, as_dtype(x.dtype)) for x in failure.operands]
    try:
        primitive.infer(*types, **failure.attributes)
        primitive.reference(*failure.operands, **failure.attributes)
        raised: Exception | None = None
    except Exception as error:
        raised = error
    assert raised is not None, f"no error, but wanted: {failure.message}"
    assert type(raised) is failure.error, f"{raised!r} is no {failure.error.__name__}"
    message = getattr(raised, "message", str(raised))
    assert message == failure.message, (
        f"the message is\n  {message}\nand not\n  {failure.message}"
    )


@dataclass(frozen=True)
class Check:
    """A check of a case.

    Args:
        title: the column of the table.
        run: raises AssertionError where something is wrong.
        excuse: returns why it does not apply to a case, or "".
        missing: what it needs and is not installed, or "".
    """

    title: str
    run: Callable[[Case], None]
    excuse: Callable[[Case], str]
    missing: str = ""


CHECKS: dict[str, Check] = {
    "reference": Check("reference", check_reference, always),
    "dtypes": Check("dtypes", check_dtypes, excuse_dtypes),
    "gradient": Check("grad fd", check_gradient, excuse_gradient),
    "torch": Check(
        "grad torch",
        check_torch,
        excuse_torch,
        "" if torch else "torch is not installed",
    ),
    "second": Check("second", check_second, excuse_gradient),
    "jvp": Check("jvp", check_jvp, excuse_jvp),
    "vmap": Check("vmap", check_vmap, no_operands),
    "text": Check("text", check_text, always),
}
