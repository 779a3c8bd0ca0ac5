"""The loops over a domain: which of its axes are one loop, and which is innermost.

Read first: `Loop`, `merged`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from ...shapes import Shape
from ..loops.grammar import (
    Body,
    Expression,
    Load,
    Operation,
    Store,
    Variable,
)
from ..loops.traverse import ordered, parts, roots
from .index import ZERO, Index, affine


@dataclass(frozen=True)
class Loop:
    """Neighbouring axes of a domain that are run through as one.

    Attributes:
        axis: the last of them, whose index is the loop's variable; the others' is 0.
        size: the product of their sizes.
        kind: what the axes have in common; only those of one kind are one loop.
        before: an axis whose index is the loop's variable divided by `each`; that of
            `axis` is then what is left.
    """

    axis: int
    size: int
    kind: Hashable
    before: int | None = None
    each: int = 1


def index_of(ndim: int, loops: Sequence[Loop], places: Iterable[Expression]) -> Index:
    """Return the index into a domain, given the place in each loop."""
    index: list[Expression] = [ZERO] * ndim
    for loop, place in zip(loops, places, strict=True):
        if loop.before is None:
            index[loop.axis] = place
        else:
            index[loop.before] = place // loop.each
            index[loop.axis] = place % loop.each
    return tuple(index)


def merged(
    shape: Shape, kinds: Sequence[Hashable], axes: Sequence[Variable], body: Body
) -> list[Loop]:
    """Return the loops over a domain, outermost first.

    Two neighbouring axes are one loop if every address in `body` moves on by the same
    step from the end of a run along the inner one to its next beginning, and nothing
    but addresses depends on them.

    Args:
        kinds: of each axis.
        axes: the variables of the domain's axes, as used in `body`.
    """
    names = {axes[i].name: i for i in range(len(shape)) if shape[i] != 1}
    alone: set[int] = set()
    steps: list[dict[int, int]] = []
    addresses: list[Expression] = []
    values: list[Expression] = []
    for statement in body:
        if isinstance(statement, Store):
            addresses.append(statement.index)
            values.append(statement.value)
            if statement.condition is not None:
                values.append(statement.condition)
        else:
            values.extend(roots(statement))
    done: set[int] = set()
    while values:
        one = values.pop()
        if id(one) in done:
            continue
        done.add(id(one))
        if isinstance(one, Variable):
            if one.name in names:
                alone.add(names[one.name])
        elif isinstance(one, Load):
            addresses.append(one.index)
            values.extend(parts(one)[1:])
        else:
            values.extend(parts(one))
    for address in addresses:
        found = affine(address)
        if found is None:
            alone.update(_axes_in(address, names))
        else:
            steps.append({names[x]: n for x, n in found[0].items() if x in names})
    loops: list[Loop] = []
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        kept = Loop(axis, n, kinds[axis])
        last = loops[-1] if loops else None
        if (
            last is not None
            and last.kind == kept.kind
            and axis not in alone
            and last.axis not in alone
            and all(s.get(last.axis, 0) == n * s.get(axis, 0) for s in steps)
        ):
            loops[-1] = Loop(axis, last.size * n, last.kind)
        else:
            loops.append(kept)
    return loops


def cuts(body: Body, axis: Variable, size: int) -> list[int]:
    """Return the places along an axis where conditions on it alone change.

    Args:
        axis: its variable, as used in `body`.
        size: of the axis.
    """
    found: set[int] = set()
    for one in ordered([x for statement in body for x in roots(statement)]):
        if not isinstance(one, Operation) or one.name not in ("less", "less_equal"):
            continue
        first, second = (affine(x) for x in one.operands)
        if first is None or second is None:
            continue
        steps = dict(second[0])
        for name, step in first[0].items():
            steps[name] = steps.get(name, 0) - step
        # It is true where step * place + rest is at least 0.
        rest = second[1] - first[1] - (one.name == "less")
        step = steps.pop(axis.name, 0)
        if not any(steps.values()) and abs(step) == 1:
            found.add(-rest if step == 1 else rest + 1)
    return sorted(place for place in found if 0 < place < size)


def _axes_in(expression: Expression, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    stack = [expression]
    done: set[int] = set()
    while stack:
        one = stack.pop()
        if id(one) in done:
            continue
        done.add(id(one))
        if isinstance(one, Variable) and one.name in names:
            found.add(names[one.name])
        stack.extend(parts(one))
    return found
