"""L-BFGS: steps that use what earlier gradients tell about the curvature.

Read first: `LBFGS.step`, `_search`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, StateDictError
from .optimizer import Optimizer
from .terms import wide

# A pair whose product is less has no curvature to speak of.
_LEAST_CURVATURE = 1e-10
# The line search: sufficient decrease, how flat it is to be at the end, and how many
# points it tries.
_DECREASE, _FLATNESS, _TRIES = 1e-4, 0.9, 25


class LBFGS(Optimizer):
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno.

    Each iteration goes along d = -H g, where H stands for the inverse Hessian, as the
    last `history_size` pairs of s = change of the parameters and y = change of the
    gradient give it, to p + t d. The length t is `lr`, or what a search along the line
    finds, which meets the strong Wolfe conditions.

    `step(closure)` makes up to `max_iter` iterations, and computes the loss several
    times. All parameters are in one group. Values are looked at in each iteration.

    Args:
        params: tensors, or one group.
        lr: the length of a step, or the first one that the search tries.
        max_iter: iterations of a step.
        max_eval: how often a step computes the loss at most. Default: 1.25 max_iter.
        tolerance_grad: it is over when no element of the gradient is larger.
        tolerance_change: it is over when parameters, or the loss, change less.
        history_size: how many pairs are kept; each takes the memory of two gradients.
        line_search_fn: "strong_wolfe" or None.

    Source: J. Nocedal, S. Wright, "Numerical optimization", 2006, algorithms 7.4, 7.5,
    3.5 and 3.6; W. Chen, Z. Wang, J. Zhou, "Large-scale L-BFGS using MapReduce", 2014,
    for the direction out of products alone. Tolerances and the bounds of the line
    search are PyTorch's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        self.refuse(
            len(self.param_groups) != 1, "there is one group", len(self.param_groups)
        )
        self.iterations = 0
        self.evaluations = 0
        self._direction: Any = None
        self._length = 0.0
        self._gradient: Any = None
        self._memory = _Memory(history_size)

    def check(
        self,
        *,
        lr: float,
        max_iter: int,
        max_eval: int,
        tolerance_grad: float,
        tolerance_change: float,
        history_size: int,
        line_search_fn: str | None,
    ) -> None:
        self.refuse(not lr >= 0, "lr is negative", lr)
        self.refuse(max_iter < 1, "max_iter is below 1", max_iter)
        self.refuse(history_size < 1, "history_size is below 1", history_size)
        self.refuse(
            line_search_fn not in (None, "strong_wolfe"),
            "line_search_fn is neither 'strong_wolfe' nor None",
            line_search_fn,
        )

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        skip: Tensor | None = None,
    ) -> Any:
        """Make up to `max_iter` iterations.

        Args:
            closure: clears gradients, computes the loss, calls `backward()` on it and
                returns it.

        Returns:
            The first loss that was computed.
        """
        if closure is None or skip is not None:
            raise ArgumentError(
                "[LBFGS] the loss is computed several times",
                got="no closure" if closure is None else "skip",
                fix="pass a function that computes the loss and its gradients, in "
                "a loop of your own",
            )
        group = self.param_groups[0]
        first, now = self._evaluate(closure)
        evaluations = 1
        flat = now.largest <= group["tolerance_grad"]
        for i in range(1, group["max_iter"] + 1):
            if flat:
                break
            before = now
            self._turn(now)
            slope = _inner(now.gradient, self._direction).item()
            if slope > -group["tolerance_change"]:
                break
            rate = group["lr"]
            if self.iterations == 1:
                rate *= min(1.0, 1 / plait.sum(plait.abs(now.gradient)).item())
            start = _flat([p.detach() for p in group["params"]])
            if group["line_search_fn"] is None:
                self._length = rate
                self._place(start, rate)
                if i < group["max_iter"]:
                    # Of the last point nothing is needed.
                    _, now = self._evaluate(closure)
                    evaluations += 1
            else:
                point, tried = self._search(closure, start, rate, now, slope)
                self._length, now = point.length, point.value
                evaluations += tried
                self._place(start, self._length)
            flat = now.largest <= group["tolerance_grad"]
            change = self._length * plait.max(plait.abs(self._direction)).item()
            if (
                evaluations >= group["max_eval"]
                or change <= group["tolerance_change"]
                or abs(now.loss - before.loss) < group["tolerance_change"]
            ):
                break
        self.evaluations += evaluations
        plait.flush()
        return first

    def _turn(self, now: _Value) -> None:
        """Find the direction of the next iteration."""
        self.iterations += 1
        if self.iterations == 1:
            self._direction = -now.gradient
        else:
            change = self._direction * self._length
            self._direction = self._memory.direction(
                change, now.gradient - self._gradient, now.gradient
            )
        self._gradient = now.gradient

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, _Value]:
        """Return the loss as the closure gives it, and all that is needed of it."""
        with plait.enable_grad():
            loss = closure()
        params = self.param_groups[0]["params"]
        parts = [
            plait.zeros_like(p) if p.grad is None else p.grad.detach() for p in params
        ]
        gradient = _flat(parts)
        largest = plait.max(plait.abs(gradient))
        return loss, _Value(float(loss), gradient, largest.item())

    def _place(self, start: Tensor, length: float) -> None:
        """Put the parameters at a point of the line."""
        _placed(self.param_groups[0]["params"], [start, self._direction, float(length)])

    def _search(
        self,
        closure: Callable[[], Any],
        start: Tensor,
        length: float,
        value: _Value,
        slope: float,
    ) -> tuple[_Point, int]:
        """Return a point on the line that meets the strong Wolfe conditions, or the
        best that was found, and how many were tried.
        """

        def at(length: float) -> _Point:
            self._place(start, length)
            _, value = self._evaluate(closure)
            inner = _inner(value.gradient, self._direction).item()
            return _Point(length, value, inner)

        size = plait.max(plait.abs(self._direction)).item()
        least = self.param_groups[0]["tolerance_change"] / size if size else math.inf
        return _search(at, _Point(0.0, value, slope), length, least)

    def state_dict(self) -> dict[str, Any]:
        """Return hyperparameters and all that the next iteration needs."""
        group = self.param_groups[0]
        tensors = {"direction": self._direction, "gradient": self._gradient}
        known = {name: x.detach() for name, x in tensors.items() if x is not None}
        state = {
            "iterations": self.iterations,
            "evaluations": self.evaluations,
            "length": self._length,
            "memory": self._memory.state(),
            **known,
        }
        numbers = list(range(len(group["params"])))
        return {"state": state, "param_groups": [{**group, "params": numbers}]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            StateDictError: it is of another optimizer; nothing is changed.
        """
        groups, state = self._checked_groups(state_dict)
        size = sum(p.size for p in self.param_groups[0]["params"])
        try:
            memory = _Memory.of(groups[0]["history_size"], state["memory"], size)
            numbers = int(state["iterations"]), int(state["evaluations"])
            length = float(state["length"])
            vectors = [state.get(name) for name in ("direction", "gradient")]
            if any(x is not None and x.shape != (size,) for x in vectors):
                raise ValueError(f"vectors of another size than {size}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateDictError(
                "[load_state_dict] the state does not fit this LBFGS; nothing was "
                "changed",
                got=str(error),
            ) from None
        group = groups[0]
        self.param_groups[0].update((n, x) for n, x in group.items() if n != "params")
        self.iterations, self.evaluations = numbers
        self._length, self._memory = length, memory
        self._direction, self._gradient = (
            None if x is None else wide(plait.asarray(x).detach()) for x in vectors
        )


class _Value(NamedTuple):
    """The loss at a point, its gradient, and the largest element of that."""

    loss: float
    gradient: Tensor
    largest: float


class _Point(NamedTuple):
    """A point on the line, and how steep the loss is there along it."""

    length: float
    value: _Value
    slope: float

    @property
    def loss(self) -> float:
        return self.value.loss


def _search(
    at: Callable[[float], _Point], start: _Point, length: float, least: float
) -> tuple[_Point, int]:
    """See `LBFGS._search`.

    Args:
        at: returns the point of a length.
        length: of the first point to try.
        least: an interval that is shorter is not searched.
    """

    def too_high(point: _Point) -> bool:
        limit = start.loss + _DECREASE * point.length * start.slope
        return point.loss > limit

    def is_flat(point: _Point) -> bool:
        return abs(point.slope) <= -_FLATNESS * start.slope

    before, point = start, at(length)
    tried = 1
    while True:
        if tried > _TRIES:
            return min(start, point, key=lambda x: x.loss), tried
        if too_high(point) or (tried > 2 and point.loss >= before.loss):
            break
        if is_flat(point):
            return point, tried
        if point.slope >= 0:
            break
        low = point.length + 0.01 * (point.length - before.length)
        length = _cubic(before, point, low, point.length * 10)
        before, point = point, at(length)
        tried += 1
    # Now a good point lies between the two.
    best, other = sorted((before, point), key=lambda x: x.loss)
    slow = False
    while tried <= _TRIES:
        low, high = sorted((best.length, other.length))
        if high - low < least:
            break
        length = _cubic(best, other, low, high)
        margin = 0.1 * (high - low)
        if min(high - length, length - low) >= margin:
            slow = False
        elif slow or length >= high or length <= low:
            # Twice in a row too near to an end.
            near_high = abs(length - high) < abs(length - low)
            length = high - margin if near_high else low + margin
            slow = False
        else:
            slow = True
        point = at(length)
        tried += 1
        if too_high(point) or point.loss >= best.loss:
            best, other = sorted((best, point), key=lambda x: x.loss)
            continue
        if is_flat(point):
            return point, tried
        if point.slope * (other.length - best.length) >= 0:
            other = best
        best = point
    return best, tried


def _cubic(first: _Point, second: _Point, low: float, high: float) -> float:
    """Return where the cubic through two points has its minimum, within bounds.

    Source: J. Nocedal, S. Wright, "Numerical optimization", 2006, equation 3.59.
    """
    if first.length > second.length:
        first, second = second, first
    gap = second.length - first.length
    if gap == 0:
        return (low + high) / 2
    d1 = first.slope + second.slope - 3 * (second.loss - first.loss) / gap
    square = d1 * d1 - first.slope * second.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    divisor = second.slope - first.slope + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    found = second.length - gap * (second.slope + d2 - d1) / divisor
    return min(max(found, low), high)


class _Memory:
    """The last pairs of changes, and the products of all of them with each other.

    Attributes:
        size: how many pairs at most.
        pairs: the rows of changes, then those of changes of the gradient; None before
            the first.
        products: of each row with each.
        order: the slots of the pairs, oldest first.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pairs: Any = None
        self.products = np.zeros((0, 0))
        self.order: list[int] = []

    @property
    def slots(self) -> int:
        return len(self.products) // 2

    def direction(self, change: Tensor, turn: Tensor, gradient: Tensor) -> Tensor:
        """Take in a pair, unless it has no curvature, and return -H gradient."""
        if _inner(change, turn).item() > _LEAST_CURVATURE:
            self._add(change, turn)
        if self.pairs is None:
            return -gradient
        n = self.slots
        against = _products(self.pairs, gradient).numpy().astype(np.float64)
        # In coefficients of the rows, but for the gradient's own, which is -1 at first.
        rows = np.zeros(2 * n)
        own = -1.0

        def inner(row: int) -> float:
            return float(self.products[row] @ rows + own * against[row])

        shares: dict[int, float] = {}
        for i in reversed(self.order):
            shares[i] = inner(i) / self.products[i, n + i]
            rows[n + i] -= shares[i]
        last = self.order[-1]
        scale = self.products[last, n + last] / self.products[n + last, n + last]
        rows *= scale
        own *= scale
        for i in self.order:
            rows[i] += shares[i] - inner(n + i) / self.products[i, n + i]
        shares_of_rows = plait.tensor(rows)
        found: Tensor = _combined(self.pairs, gradient, shares_of_rows, float(own))
        return found

    def _add(self, change: Tensor, turn: Tensor) -> None:
        if len(self.order) == self.size:
            slot = self.order.pop(0)
        else:
            slot = len(self.order)
            if slot >= self.slots:
                self._grow(change)
        self.order.append(slot)
        n = self.slots
        places = (slot, n + slot)
        self.pairs = _with_rows(
            self.pairs, change, turn, *(float(place) for place in places)
        )
        for place, vector in zip(places, (change, turn), strict=True):
            found = _products(self.pairs, vector).numpy().astype(np.float64)
            self.products[place] = self.products[:, place] = found

    def _grow(self, like: Tensor) -> None:
        """Make room for twice as many pairs."""
        old, new = self.slots, min(max(2 * self.slots, 8), self.size)
        free = plait.zeros(new - old, like.shape[0], dtype=like.dtype)
        products = np.zeros((2 * new, 2 * new))
        if old:
            kept = np.r_[0:old, new : new + old]
            products[np.ix_(kept, kept)] = self.products
            first, second = self.pairs[:old], self.pairs[old:]
            self.pairs = plait.concat([first, free, second, free])
        else:
            self.pairs = plait.concat([free, free])
        self.products = products

    def state(self) -> dict[str, Any]:
        """Return what `of` takes."""
        if self.pairs is None:
            return {}
        return {
            "pairs": self.pairs.detach(),
            "products": np.array(self.products),
            "order": list(self.order),
        }

    @staticmethod
    def of(size: int, state: Mapping[str, Any], features: int) -> _Memory:
        """Return the memory that a state was taken of."""
        memory = _Memory(size)
        if state:
            pairs = wide(plait.asarray(state["pairs"]).detach())
            products = np.array(state["products"], np.float64)
            rows = len(products)
            order = [int(i) for i in state["order"]]
            fits = pairs.shape == (rows, features) and products.shape == (rows, rows)
            if not fits or not all(0 <= i < rows // 2 for i in order):
                raise ValueError("pairs of other parameters")
            memory.pairs, memory.products, memory.order = pairs, products, order
        return memory


@plait.jit
def _flat(parts: list[Tensor]) -> Tensor:
    return plait.concat([wide(part.reshape(-1)) for part in parts])


@plait.jit
def _inner(x: Tensor, y: Tensor) -> Tensor:
    return plait.sum(x * y)


@plait.jit
def _products(rows: Tensor, vector: Tensor) -> Tensor:
    return rows @ vector


@plait.jit
def _combined(rows: Tensor, gradient: Tensor, shares: Tensor, own: Any) -> Tensor:
    found: Tensor = shares.to(rows.dtype) @ rows + gradient * own
    return found


@plait.jit
def _with_rows(rows: Tensor, x: Tensor, y: Tensor, i: Any, j: Any) -> Tensor:
    numbers = plait.expand_dims(plait.arange(rows.shape[0]), axis=1)
    return plait.where(numbers == i, x, plait.where(numbers == j, y, rows))


@plait.updating
def _placed(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    start, direction, length = operands
    moved = start + direction * length
    new, at = [], 0
    for tensor in tensors:
        part = moved[at : at + tensor.size].reshape(tensor.shape)
        new.append(part.to(tensor.dtype))
        at += tensor.size
    return new
