"""An independent computation of every primitive.

None of them calls what the primitive's reference calls: they use the `math` module,
Python's integers and fractions, SciPy, `np.einsum`, or plain loops over positions.
Where nothing independent can exist the entry is a `DefinedBy`, with the reason.

An oracle takes the arrays and attributes of the reference, and may return more precise
or wider values than the primitive does: `as_type` rounds and wraps them.

Read first: `ORACLES`, `scalar`, `as_type`.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.special

from plait.dtypes import DType
from plait.ir.graph import Graph, Node

inf, nan = math.inf, math.nan


@dataclass(frozen=True)
class DefinedBy:
    """In place of an oracle: the values are what the record says they are."""

    reason: str
    oracle: Callable[..., Any]


# Numbers


def as_type(values: Any, dtype: DType) -> np.ndarray:
    """Return exact numbers as `dtype`: rounded, or wrapped around."""
    values = np.asarray(values)
    if dtype.kind == "bool":
        return values.astype(bool)
    if dtype.is_float:
        return rounded(values, dtype)
    span = 1 << dtype.bits
    top = span >> 1 if dtype.kind == "signed" else span
    exact = [int(v) % span for v in values.ravel().tolist()]
    wrapped = [v - span if v >= top else v for v in exact]
    return np.array(wrapped, object).astype(dtype.numpy).reshape(values.shape)


def rounded(values: np.ndarray, dtype: DType) -> np.ndarray:
    def number(v: Any) -> float:
        try:
            return float(v)
        except OverflowError:
            return inf if v > 0 else -inf

    if values.dtype.kind == "O":
        flat = [number(v) for v in values.ravel().tolist()]
        values = np.array(flat, np.float64).reshape(values.shape)
    with np.errstate(all="ignore"):
        return values.astype(dtype.numpy)


@dataclass(frozen=True)
class Property:
    """In place of an oracle: what the results must satisfy, where they are not unique.

    Args:
        claims: `(operands, results, **attributes)`, yields what is claimed, and two
            arrays that must be equal.
    """

    claims: Callable[..., Iterator[tuple[str, Any, Any]]]


def scalar(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an oracle that calls `function` on the Python scalars at each position."""

    def oracle(*arrays: np.ndarray, **attributes: Any) -> np.ndarray:
        flat = [plain(array).ravel().tolist() for array in arrays]
        values = [function(*row, **attributes) for row in zip(*flat, strict=True)]
        return shaped(values, arrays[0].shape)

    return oracle


def plain(array: np.ndarray) -> np.ndarray:
    """Return `array` with elements that become Python's own numbers."""
    array = np.asarray(array)
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def shaped(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return Python numbers as an array of objects, so that no integer is cut."""
    result = np.empty(len(values), object)
    result[:] = values
    return result.reshape(shape)


def at(
    function: Callable[..., float], special: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the scalar oracle of `function`, with `special(x)` where it raises."""

    def guarded(*row: float) -> Any:
        if any(math.isnan(x) for x in row):
            return nan
        try:
            return function(*row)
        except (ValueError, OverflowError, ZeroDivisionError):
            return special(*row)

    return scalar(guarded)


def never(*_: float) -> float:
    return nan


# Arithmetic


def divide(x: float, y: float) -> float:
    if math.isnan(x) or math.isnan(y):
        return nan
    if y == 0:
        sign = math.copysign(1, x) * math.copysign(1, y)
        return nan if x == 0 else sign * inf
    return x / y


def floor_divide(x: Any, y: Any) -> Any:
    if isinstance(x, int):
        return 0 if y == 0 else x // y
    if y == 0 or not (math.isfinite(x) and math.isfinite(y)):
        return divide(x, y)
    quotient = math.floor(Fraction(x) / Fraction(y))
    return float(quotient) if quotient else math.copysign(0.0, x) * math.copysign(1, y)


def remainder(x: Any, y: Any) -> Any:
    if isinstance(x, int):
        return 0 if y == 0 else x - (x // y) * y
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0:
        return nan
    if x == 0:
        return math.copysign(0.0, y)
    if math.isinf(y):
        return x if (x < 0) == (y < 0) else y
    exact = Fraction(x) - math.floor(Fraction(x) / Fraction(y)) * Fraction(y)
    return float(exact) if exact else math.copysign(0.0, y)


def power(x: Any, y: Any) -> Any:
    if isinstance(x, int):
        if y >= 0:
            return pow(x, y, 1 << 64)  # results wrap around
        return {1: 1, -1: -1 if y % 2 else 1}.get(x, 0)
    try:
        return math.pow(x, y)
    except OverflowError:
        odd = y == math.floor(y) and y % 2 == 1
        return -inf if x < 0 and odd else inf
    except ValueError:
        if x != 0:
            return nan  # a negative number to a fraction
        odd = y == math.floor(y) and y % 2 == 1
        return math.copysign(inf, x) if odd else inf


def sign(x: Any) -> Any:
    if x != x:
        return x
    return 0 if x == 0 else 1 if x > 0 else -1


def larger(x: Any, y: Any) -> Any:
    if x != x or y != y:
        return nan
    return max(x, y)


def smaller(x: Any, y: Any) -> Any:
    if x != x or y != y:
        return nan
    return min(x, y)


def bitwise(rule: Callable[[bool, bool], bool]) -> Callable[..., Any]:
    """Return an oracle that goes through the bits one by one, in two's complement."""

    def oracle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        bits = 1 if x.dtype.kind == "b" else 8 * x.dtype.itemsize

        def one(a: int, b: int) -> int:
            return sum(
                1 << i for i in range(bits) if rule(bool(a >> i & 1), bool(b >> i & 1))
            )

        return scalar(lambda a, b: one(int(a), int(b)))(x, y)

    return oracle


def invert(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "b":
        return scalar(lambda a: not a)(x)
    return scalar(lambda a: -a - 1)(x)


def round_even(x: float) -> float:
    if math.isnan(x) or math.isinf(x):
        return x
    return math.copysign(float(round(Fraction(x))), x)


def whole(function: Callable[[float], int]) -> Callable[..., Any]:
    def one(x: float) -> float:
        if math.isnan(x) or math.isinf(x):
            return x
        return math.copysign(float(function(Fraction(x))), x)  # type: ignore[arg-type]

    return scalar(one)


def signbit(x: np.ndarray) -> np.ndarray:
    return scalar(lambda a: struct.pack(">d", a)[0] >> 7)(x)


def nextafter(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Step to the neighbour in the order of the bit patterns."""
    unsigned = np.dtype(f"u{x.dtype.itemsize}")
    top = 1 << (8 * x.dtype.itemsize - 1)

    def step(i: int) -> np.ndarray:
        a, b = x.ravel()[i : i + 1], y.ravel()[i : i + 1]
        if a != a or b != b:
            return (a + b)[0]
        if a == b:
            return b[0]
        if a == 0:
            bits = 1 | (top if b < 0 else 0)
        else:
            outward = (b > a) == (a > 0)
            bits = int(a.view(unsigned)[0]) + (1 if outward else -1)
        return np.array([bits], unsigned).view(x.dtype)[0]

    values = [step(i) for i in range(x.size)]
    return np.array(values, x.dtype).reshape(x.shape)


def cast(x: np.ndarray, *, dtype: Any) -> np.ndarray:
    def one(a: Any) -> Any:
        if dtype.kind == "bool":
            return a != 0
        if dtype.is_integer and isinstance(a, float):
            return math.trunc(a)
        return a

    return scalar(one)(x)


def bitcast(x: np.ndarray, *, dtype: Any) -> np.ndarray:
    return np.frombuffer(x.tobytes(), dtype.numpy).reshape(x.shape)


def select(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return scalar(lambda c, a, b: a if c else b)(condition, x, y)


# Movement: each element of the result by its position


def placed(
    shape: tuple[int, ...], dtype: Any, element: Callable[[tuple[int, ...]], Any]
) -> np.ndarray:
    """Return the array whose element at each position is `element(position)`."""
    result = np.empty(shape, dtype)
    for position in np.ndindex(*shape):
        result[position] = element(position)
    return result


def reshape(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    elements = [x[position] for position in np.ndindex(*x.shape)]
    positions = {position: i for i, position in enumerate(np.ndindex(*shape))}
    return placed(shape, x.dtype, lambda position: elements[positions[position]])


def permute(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    letters = "abcdefgh"[: x.ndim]
    return np.einsum(f"{letters}->{''.join(letters[axis] for axis in axes)}", x)


def expand(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    lead = len(shape) - x.ndim

    def element(position: tuple[int, ...]) -> Any:
        tail = position[lead:]
        return x[tuple(0 if n == 1 else i for i, n in zip(tail, x.shape, strict=True))]

    return placed(shape, x.dtype, element)


def pad(x: np.ndarray, *, widths: Any, value: float) -> np.ndarray:
    shape = tuple(
        n + low + high for n, (low, high) in zip(x.shape, widths, strict=True)
    )
    result = np.full(shape, value).astype(x.dtype)
    result[
        tuple(slice(low, low + n) for n, (low, _) in zip(x.shape, widths, strict=True))
    ] = x
    return result


def slices(x: np.ndarray, *, starts: Any, stops: Any, steps: Any) -> np.ndarray:
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        x = np.take(x, list(range(start, stop, step)), axis)
    return x


def flip(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    for axis in axes:
        x = np.take(x, list(range(x.shape[axis] - 1, -1, -1)), axis)
    return x


def concatenate(*xs: np.ndarray, axis: int) -> np.ndarray:
    pieces = [piece for x in xs for piece in np.moveaxis(x, axis, 0)]
    if not pieces:
        return xs[0]
    return np.moveaxis(np.array(pieces, xs[0].dtype), 0, axis)


# Reductions


def folded(function: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """Return the oracle that gives the list of reduced elements to `function`."""

    def oracle(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        kept = [i for i in range(x.ndim) if i not in axes]
        shape = tuple(x.shape[i] for i in kept)
        groups: dict[tuple[int, ...], list[Any]] = {p: [] for p in np.ndindex(*shape)}
        for position in np.ndindex(*x.shape):
            groups[tuple(position[i] for i in kept)].append(plain(x[position]).item())
        return shaped([function(group) for group in groups.values()], shape)

    return oracle


def total(values: list[Any]) -> Any:
    if all(isinstance(v, int) for v in values):
        return functools.reduce(lambda a, b: a + b, values, 0)
    if any(math.isinf(v) or math.isnan(v) for v in values):
        return functools.reduce(lambda a, b: a + b, values, 0)
    return math.fsum(values)


def extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    return lambda values: nan if any(v != v for v in values) else pick(values)


def running(function: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """Return the oracle that folds the elements up to each position anew."""

    def oracle(x: np.ndarray, *, axis: int) -> np.ndarray:
        fold = folded(function)
        pieces = [
            fold(x.take(list(range(i + 1)), axis), axes=(axis,))
            for i in range(x.shape[axis])
        ]
        return np.stack(pieces, axis) if pieces else x

    return oracle


def position_of(better: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def first(values: list[Any]) -> int:
        best = 0
        for i, value in enumerate(values):
            if values[best] == values[best] and (
                value != value or better(value, values[best])
            ):
                best = i
        return best

    return lambda x, *, axis: folded(first)(x, axes=(axis,))


def dot(x: np.ndarray, y: np.ndarray, *, axes: Any, batch: Any) -> np.ndarray:
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = [""] * x.ndim, [""] * y.ndim
    for i, j in itertools.chain(zip(*axes, strict=True), zip(*batch, strict=True)):
        left[i] = right[j] = next(letters)
    left = [letter or next(letters) for letter in left]
    right = [letter or next(letters) for letter in right]
    summed = {left[i] for i in axes[0]}
    lead = [left[i] for i in batch[0]]
    rest = [c for c in left + right if c not in summed and c not in lead]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(lead + rest)}"
    return np.einsum(equation, plain(x), plain(y))


# Positions that are data


def gather(x: np.ndarray, indices: np.ndarray, *, axis: int, batch: int) -> np.ndarray:
    count = indices.ndim - batch
    shape = (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :])

    def element(position: tuple[int, ...]) -> Any:
        at = (*position[:batch], *position[axis : axis + count])
        return x[(*position[:axis], int(indices[at]), *position[axis + count :])]

    return placed(shape, x.dtype, element)


def scatter(
    x: np.ndarray,
    indices: np.ndarray,
    updates: np.ndarray,
    *,
    axis: int,
    batch: int,
    mode: str,
) -> np.ndarray:
    rules: dict[str, Callable[[Any, Any], Any]] = {
        "set": lambda a, b: b,
        "add": lambda a, b: a + b,
        "multiply": lambda a, b: a * b,
        "max": larger,
        "min": smaller,
    }
    count = indices.ndim - batch
    result, updates = plain(x).astype(object), plain(updates).astype(object)
    for position in np.ndindex(*updates.shape):
        at = (*position[:batch], *position[axis : axis + count])
        place = (*position[:axis], int(indices[at]), *position[axis + count :])
        result[place] = rules[mode](result[place], updates[position])
    return result


def wrap_index(x: np.ndarray, *, size: int, axis: int) -> np.ndarray:
    return scalar(lambda i: range(size)[i])(x)


def class_number(
    x: np.ndarray, *, op: str, classes: int, ignored: int | None
) -> np.ndarray:
    known = {i: i for i in (*range(classes), ignored)}
    return scalar(lambda i: known[i])(x)


# Order


def rank(value: Any) -> tuple[bool, Any]:
    """Return what numbers are sorted by: nan is greatest."""
    return (value != value, 0 if value != value else value)


def sort(
    x: np.ndarray, *, axis: int, descending: bool, stable: bool
) -> tuple[np.ndarray, np.ndarray]:
    def positions(line: np.ndarray) -> np.ndarray:
        values = plain(line).tolist()
        found = sorted(
            range(len(values)), key=lambda i: rank(values[i]), reverse=descending
        )
        return np.array(found, np.int64)

    indices = np.zeros(x.shape, np.int64)
    if x.size:
        indices = np.apply_along_axis(positions, axis, x)
    lines = np.moveaxis(x, axis, -1)
    at = np.moveaxis(indices, axis, -1)
    values = placed(at.shape, x.dtype, lambda p: lines[(*p[:-1], at[p])])
    return np.moveaxis(values, -1, axis), indices


def top_k(x: np.ndarray, *, k: int, axis: int) -> tuple[np.ndarray, ...]:
    found = sort(x, axis=axis, descending=True, stable=True)
    return tuple(part.take(list(range(k)), axis) for part in found)


def search_sorted(ordered: np.ndarray, values: np.ndarray, *, side: str) -> np.ndarray:
    lead = ordered.ndim - 1
    result = np.zeros(values.shape, np.int64)
    for position in np.ndindex(*values.shape):
        value = rank(plain(values[position]).item())
        line = plain(ordered[position[:lead]]).tolist()
        if side == "left":
            result[position] = sum(rank(v) < value for v in line)
        else:
            result[position] = sum(rank(v) <= value for v in line)
    return result


# Random numbers


def random_bits(key: np.ndarray, *, shape: tuple[int, ...], start: int) -> np.ndarray:
    """Philox 4x32-10, word by word, as the paper writes it."""
    mask = 0xFFFFFFFF

    def block(words: list[int], counter: int) -> list[int]:
        a, b, c, d = counter & mask, counter >> 32 & mask, words[2], words[3]
        first, second = words[:2]
        for _ in range(10):
            left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
            a, b, c, d = (
                right >> 32 ^ b ^ first,
                right & mask,
                left >> 32 ^ d ^ second,
                left & mask,
            )
            first, second = (first + 0x9E3779B9) & mask, (second + 0xBB67AE85) & mask
        return [a, b, c, d]

    rows = []
    for words in key.reshape(-1, 4).tolist():
        stream = itertools.chain.from_iterable(
            block(words, (start + i) % (1 << 64)) for i in itertools.count()
        )
        rows.append(list(itertools.islice(stream, math.prod(shape))))
    return np.array(rows, np.int64).reshape((*key.shape[:-1], *shape))


# Windows


def window_positions(out: Any, window: Any) -> Iterator[tuple[Any, Any]]:
    return itertools.product(np.ndindex(*out), np.ndindex(*window))


def convolution(
    x: np.ndarray,
    weight: np.ndarray,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    input_dilation: Any,
    groups: int,
) -> np.ndarray:
    x, weight = plain(x), plain(weight)
    channels, kernel = weight.shape[1], weight.shape[2:]
    out = []
    for n, k, step, (low, high), gap, spread in zip(
        x.shape[2:], kernel, stride, padding, dilation, input_dilation, strict=True
    ):
        size = (n - 1) * spread + 1 + low + high
        out.append(len(range(0, size - (k - 1) * gap, step)))
    result = np.zeros((x.shape[0], weight.shape[0], *out), x.dtype)
    per_group = weight.shape[0] // groups
    for place, tap in window_positions(out, kernel):
        at = [
            step * o + gap * j - low
            for o, j, step, gap, (low, _) in zip(
                place, tap, stride, dilation, padding, strict=True
            )
        ]
        if any(i % spread for i, spread in zip(at, input_dilation, strict=True)):
            continue
        at = [i // spread for i, spread in zip(at, input_dilation, strict=True)]
        if not all(0 <= i < n for i, n in zip(at, x.shape[2:], strict=True)):
            continue
        for group in range(groups):
            rows = slice(group * per_group, (group + 1) * per_group)
            columns = slice(group * channels, (group + 1) * channels)
            result[(slice(None), rows, *place)] += np.einsum(
                "nc,oc->no",
                x[(slice(None), columns, *at)],
                weight[(rows, slice(None), *tap)],
            )
    return result


def windows(x: np.ndarray, *, window: Any, stride: Any, dilation: Any) -> np.ndarray:
    lead = x.ndim - len(window)
    out = tuple(
        len(range(0, n - (k - 1) * gap, step))
        for n, k, step, gap in zip(
            x.shape[lead:], window, stride, dilation, strict=True
        )
    )
    result = np.empty((*x.shape[:lead], *out, *window), x.dtype)
    for place, tap in window_positions(out, window):
        at = zip(place, tap, stride, dilation, strict=True)
        source = (..., *(o * step + j * gap for o, j, step, gap in at))
        result[(..., *place, *tap)] = x[source]
    return result


def fold(x: np.ndarray, *, size: Any, stride: Any, dilation: Any) -> np.ndarray:
    rank = len(size)
    lead = x.ndim - 2 * rank
    x = plain(x)
    result = np.zeros((*x.shape[:lead], *size), x.dtype)
    for place, tap in window_positions(
        x.shape[lead : lead + rank], x.shape[lead + rank :]
    ):
        at = zip(place, tap, stride, dilation, strict=True)
        target = (..., *(o * step + j * gap for o, j, step, gap in at))
        result[target] += x[(..., *place, *tap)]
    return result


# Graphs in attributes: run with the oracles of what is in them


def run_graph(graph: Graph, values: Iterable[np.ndarray]) -> list[np.ndarray]:
    memory: dict[Node, Any] = dict(zip(graph.inputs, values, strict=True))
    for node in graph.nodes():
        operands = [memory[operand] for operand in node.operands]
        if node.primitive.name == "pick":
            memory[node] = operands[0][node.attributes["index"]]
            continue
        entry = ORACLES[node.primitive.name]
        assert not isinstance(entry, Property)
        oracle = entry.oracle if isinstance(entry, DefinedBy) else entry
        found = oracle(*operands, **node.attributes)
        if isinstance(node.type, tuple):
            pairs = zip(found, node.type, strict=True)
            memory[node] = tuple(as_type(x, type.dtype) for x, type in pairs)
        else:
            memory[node] = as_type(found, node.dtype)
    return [memory[node] for node in graph.outputs]


def cond(predicate: np.ndarray, *operands: np.ndarray, **graphs: Graph) -> Any:
    name = "true_graph" if predicate.item() else "false_graph"
    return tuple(run_graph(graphs[name], operands))


def while_loop(
    *operands: np.ndarray, condition_graph: Graph, body_graph: Graph, captured: int
) -> Any:
    values = list(operands)
    while run_graph(condition_graph, values)[0].item():
        values[captured:] = run_graph(body_graph, values)
    return tuple(values[captured:])


def scan(
    *operands: np.ndarray,
    body: Graph,
    captured: int,
    carried: int,
    length: int,
    reverse: bool,
) -> Any:
    outside = operands[:captured]
    carry = list(operands[captured : captured + carried])
    xs = operands[captured + carried :]
    rows = []
    steps = list(range(length))
    for i in steps[::-1] if reverse else steps:
        found = run_graph(body, [*outside, *carry, *(np.asarray(x[i]) for x in xs)])
        carry = found[:carried]
        rows.append(found[carried:])
    rows = rows[::-1] if reverse else rows
    stacked = [
        np.array([row[k] for row in rows]).reshape(length, *y.shape)
        for k, y in enumerate(body.outputs[carried:])
    ]
    return (*carry, *stacked)


def whole_graph(*operands: np.ndarray, graph: Graph, **_: Any) -> Any:
    return tuple(run_graph(graph, operands))


# Linear algebra: exact, on fractions, one matrix after the other


def each_matrix(function: Callable[..., Any], ndim: int = 2) -> Callable[..., Any]:
    """Return the oracle that gives `function` single matrices, as lists of fractions.

    Args:
        ndim: the number of axes of its result.
    """

    def oracle(*arrays: np.ndarray, **attributes: Any) -> Any:
        lead = arrays[0].shape[:-2]
        found = []
        for at in np.ndindex(*lead):
            exact = [
                [[Fraction(v) for v in row] for row in plain(x[at]).tolist()]
                for x in arrays
            ]
            found.append(np.array(function(*exact, **attributes), object))
        if not found:
            return np.zeros((*lead, *arrays[-1].shape[-2:][:ndim]))
        result = np.empty((len(found), *found[0].shape), object)
        for i, value in enumerate(found):
            result[i] = value if ndim else value.item()
        return result.reshape((*lead, *found[0].shape))

    return oracle


def whole_matrix(function: Callable[..., Any], ndim: int = 2) -> Callable[..., Any]:
    """Return `each_matrix(function)`, for which the empty matrix is none."""
    oracle = each_matrix(function, ndim)

    def guarded(*arrays: np.ndarray, **attributes: Any) -> Any:
        if 0 in arrays[0].shape[-2:] and ndim:
            return np.zeros(arrays[-1].shape)
        return oracle(*arrays, **attributes)

    return guarded


Matrix = list[list[Fraction]]


def cholesky(x: Matrix, *, upper: bool) -> list[list[float]]:
    n = len(x)
    factor = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = (x[i][j] + x[j][i]) / 2 - sum(
                Fraction(factor[i][k]) * Fraction(factor[j][k]) for k in range(j)
            )
            factor[i][j] = math.sqrt(rest) if i == j else float(rest) / factor[j][j]
    return [list(row) for row in zip(*factor, strict=True)] if upper else factor


def eliminate(a: Matrix, b: Matrix) -> Matrix:
    """Return the solution of a @ x = b, by Gauss and Jordan."""
    n = len(a)
    rows = [[*left, *right] for left, right in zip(a, b, strict=True)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k in range(n):
            if k != i:
                factor = rows[k][i]
                rows[k] = [
                    v - factor * w for v, w in zip(rows[k], rows[i], strict=True)
                ]
    return [row[n:] for row in rows]


def triangular_solve(
    a: Matrix, b: Matrix, *, lower: bool, transpose: bool, unit_diagonal: bool
) -> Matrix:
    n = len(a)
    triangle = [
        [
            Fraction(1)
            if unit_diagonal and i == j
            else a[i][j]
            if (i >= j if lower else i <= j)
            else Fraction(0)
            for j in range(n)
        ]
        for i in range(n)
    ]
    if transpose:
        triangle = [list(row) for row in zip(*triangle, strict=True)]
    return eliminate(triangle, b)


def determinant(x: Matrix) -> Fraction:
    """Return the sum over permutations (Leibniz)."""
    total = Fraction(0)
    for order in itertools.permutations(range(len(x))):
        swaps = sum(a > b for a, b in itertools.combinations(order, 2))
        total += (-1) ** swaps * math.prod(x[i][j] for i, j in enumerate(order))
    return total


def cofactor(x: Matrix) -> Matrix:
    def minor(i: int, j: int) -> Fraction:
        rows = [row[:j] + row[j + 1 :] for k, row in enumerate(x) if k != i]
        return (-1) ** (i + j) * determinant(rows)

    return [[minor(i, j) for j in range(len(x))] for i in range(len(x))]


def slogdet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(each_matrix(determinant, 0)(x), object)
    flat = values.ravel().tolist()
    return (
        shaped([(v > 0) - (v < 0) for v in flat], values.shape),
        shaped([math.log(abs(v)) if v else -inf for v in flat], values.shape),
    )


def turned(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def orthonormal(what: str, x: np.ndarray) -> tuple[str, Any, Any]:
    """Claim that the columns are orthonormal."""
    identity = np.broadcast_to(
        np.eye(x.shape[-1]), (*x.shape[:-2], x.shape[-1], x.shape[-1])
    )
    return f"the columns of {what} are orthonormal", turned(x) @ x, identity


def qr_claims(
    operands: Any, results: Any, *, mode: str
) -> Iterator[tuple[str, Any, Any]]:
    (x,), (q, r) = operands, results
    yield "q @ r is x", q @ r, x
    yield orthonormal("q", q)
    yield "r is upper triangular", np.tril(r, -1), np.zeros(r.shape)


def svd_claims(
    operands: Any, results: Any, *, full_matrices: bool
) -> Iterator[tuple[str, Any, Any]]:
    (x,), (u, s, vh) = operands, results
    k = s.shape[-1]
    yield "u @ diag(s) @ vh is x", (u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x
    yield orthonormal("u", u)
    yield orthonormal("vh.T", turned(vh))
    yield "s is sorted", -np.sort(-s, -1), s
    yield "s is not negative", np.abs(s), s


def eigh_claims(operands: Any, results: Any) -> Iterator[tuple[str, Any, Any]]:
    (x,), (w, v) = operands, results
    yield (
        "v @ diag(w) @ v.T is x",
        (v * w[..., None, :]) @ turned(v),
        (x + turned(x)) / 2,
    )
    yield orthonormal("v", v)
    yield "w is sorted", np.sort(w, -1), w


def pinv_claims(operands: Any, results: Any) -> Iterator[tuple[str, Any, Any]]:
    """The four conditions of Penrose, which one matrix fulfils."""
    (x, _), (p,) = operands, results
    yield "x p x is x", x @ p @ x, x
    yield "p x p is p", p @ x @ p, p
    yield "x p is symmetric", x @ p, turned(x @ p)
    yield "p x is symmetric", p @ x, turned(p @ x)


def special(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the oracle that calls a function of SciPy in double precision."""
    return lambda x: function(plain(x))


def lgamma(x: np.ndarray) -> np.ndarray:
    # The standard of C has inf at -inf, too.
    return np.where(np.isinf(plain(x)), inf, scipy.special.gammaln(plain(x)))


def polygamma(x: np.ndarray, *, order: int) -> np.ndarray:
    x = plain(x)
    # At -inf there is no limit: poles are everywhere on the way.
    return np.where(x == -inf, nan, scipy.special.polygamma(order, x))


def same(x: np.ndarray) -> np.ndarray:
    return x


ORACLES: dict[str, Callable[..., Any] | DefinedBy | Property] = {
    # source
    "constant": DefinedBy("a literal array", lambda *, value: value.array),
    "iota": lambda *, size, dtype: np.array(list(range(size)), object),
    "stop_gradient": DefinedBy("the identity", same),
    "variable": DefinedBy("the identity", same),
    # elementwise
    "cast": cast,
    "add": scalar(lambda x, y: x + y),
    "subtract": scalar(lambda x, y: x - y),
    "multiply": scalar(lambda x, y: x * y),
    "divide": scalar(divide),
    "floor_divide": scalar(floor_divide),
    "remainder": scalar(remainder),
    "power": scalar(power),
    "negative": scalar(lambda x: -x),
    "abs": scalar(lambda x: math.fabs(x) if isinstance(x, float) else max(x, -x)),
    "sign": scalar(sign),
    "maximum": scalar(larger),
    "minimum": scalar(smaller),
    "equal": scalar(lambda x, y: x == y),
    "not_equal": scalar(lambda x, y: x != y),
    "less": scalar(lambda x, y: x < y),
    "less_equal": scalar(lambda x, y: x < y or x == y),
    "bitwise_and": bitwise(lambda a, b: a and b),
    "bitwise_or": bitwise(lambda a, b: a or b),
    "bitwise_xor": bitwise(lambda a, b: a != b),
    "bitwise_invert": invert,
    "bitwise_left_shift": scalar(lambda x, y: x * 2**y),
    "bitwise_right_shift": scalar(lambda x, y: x // 2**y),
    "select": select,
    "floor": whole(math.floor),
    "ceil": whole(math.ceil),
    "trunc": whole(math.trunc),
    "round": scalar(round_even),
    "exp": at(math.exp, lambda x: inf),
    "expm1": at(math.expm1, lambda x: inf),
    "log": at(math.log, lambda x: -inf if x == 0 else nan),
    "log1p": at(math.log1p, lambda x: -inf if x == -1 else nan),
    "sqrt": at(math.sqrt, never),
    "sigmoid": lambda x: scipy.special.expit(plain(x)),
    "sin": at(math.sin, never),
    "cos": at(math.cos, never),
    "tan": at(math.tan, never),
    "asin": at(math.asin, never),
    "acos": at(math.acos, never),
    "atan": at(math.atan, never),
    "atan2": at(math.atan2, never),
    "sinh": at(math.sinh, lambda x: math.copysign(inf, x)),
    "cosh": at(math.cosh, lambda x: inf),
    "tanh": at(math.tanh, never),
    "asinh": at(math.asinh, never),
    "acosh": at(math.acosh, never),
    "atanh": at(math.atanh, lambda x: math.copysign(inf, x) if abs(x) == 1 else nan),
    "signbit": signbit,
    "copysign": scalar(math.copysign),
    "nextafter": nextafter,
    "bitcast": bitcast,
    # movement
    "reshape": reshape,
    "permute": permute,
    "expand": expand,
    "pad": pad,
    "slice": slices,
    "flip": flip,
    "concatenate": concatenate,
    # reduce
    "sum": folded(total),
    "product": folded(lambda values: functools.reduce(lambda a, b: a * b, values, 1)),
    "max": folded(extreme(max)),
    "min": folded(extreme(min)),
    "argmax": position_of(lambda a, b: a > b),
    "argmin": position_of(lambda a, b: a < b),
    "cumulative_sum": running(total),
    "cumulative_product": running(
        lambda values: functools.reduce(lambda a, b: a * b, values)
    ),
    "cumulative_max": running(extreme(max)),
    # contract
    "dot": dot,
    # index
    "class_number": class_number,
    "wrap_index": wrap_index,
    "gather": gather,
    "scatter": scatter,
    # sort
    "sort": sort,
    "top_k": top_k,
    "search_sorted": search_sorted,
    # random
    "random_bits": random_bits,
    # window
    "convolution": convolution,
    "windows": windows,
    "fold": fold,
    # special
    "erf": special(scipy.special.erf),
    "erfc": special(scipy.special.erfc),
    "erfinv": lambda x: np.copysign(scipy.special.erfinv(plain(x)), plain(x)),
    "lgamma": lgamma,
    "digamma": special(scipy.special.digamma),
    "polygamma": polygamma,
    # linalg
    "cholesky": whole_matrix(cholesky),
    "triangular_solve": whole_matrix(triangular_solve),
    "solve": whole_matrix(eliminate),
    "qr": Property(qr_claims),
    "svd": Property(svd_claims),
    "eigh": Property(eigh_claims),
    "slogdet": slogdet,
    "det": each_matrix(determinant, 0),
    "cofactor": each_matrix(cofactor),
    "pinv": Property(pinv_claims),
    # control
    "cond": cond,
    "while_loop": while_loop,
    "scan": scan,
    "custom_vjp": whole_graph,
    "recompute": whole_graph,
}
