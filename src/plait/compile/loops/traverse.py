"""Walks over expressions, which are graphs: what is shared is met once.

Read first: `ordered`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from .grammar import (
    Buffer,
    Expression,
    Fold,
    For,
    Get,
    If,
    Let,
    Load,
    Operation,
    Set,
    Statement,
    Store,
    TileLoad,
    TileStore,
    Vector,
)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """Return the expressions that `expression` is made of."""
    if isinstance(expression, Operation):
        return expression.operands
    if isinstance(expression, Load):
        if expression.condition is None or expression.other is None:
            return (expression.index,)
        return (expression.index, expression.condition, expression.other)
    if isinstance(expression, Get | Fold):
        return (expression.place,)
    return ()


def roots(statement: Statement) -> tuple[Expression, ...]:
    """Return the expressions that a statement itself has, not those in its bodies.

    All of them are computed before the statement does anything, in every lane. What
    keeps a load from touching memory is its own condition and nothing else.
    """
    if isinstance(statement, Let):
        return (statement.value,)
    if isinstance(statement, Store):
        if statement.condition is None:
            return (statement.index, statement.value)
        return (statement.index, statement.value, statement.condition)
    if isinstance(statement, Set):
        return (statement.place, statement.value)
    if isinstance(statement, If):
        return (statement.condition,)
    if isinstance(statement, TileLoad | TileStore):
        return (statement.index,)
    if isinstance(statement, For) and isinstance(statement.extent, Expression):
        return (statement.extent,)
    return ()


def ordered(
    wanted: Sequence[Expression], done: Container[int] = ()
) -> list[Expression]:
    """Return `wanted` and all that they are made of, parts first, each once.

    Does not recurse: a chain of fused operations may be longer than Python's stack.

    Args:
        done: ids of expressions to leave out, with their parts.
    """
    found: list[Expression] = []
    seen: dict[int, bool] = {}  # id -> whether it is in `found`
    stack = list(wanted[::-1])
    while stack:
        node = stack.pop()
        key = id(node)
        state = seen.get(key)
        if state is None:
            if key in done:
                continue
            below = node.operands if isinstance(node, Operation) else parts(node)
            if below:
                seen[key] = False
                stack.append(node)
                stack += below[::-1]
                continue
        elif state:
            continue
        seen[key] = True
        found.append(node)
    return found


def bodies(statement: Statement) -> tuple[list[Statement], ...]:
    """Return the bodies of a statement."""
    if isinstance(statement, If):
        return (statement.body, statement.otherwise)
    if isinstance(statement, For | Vector):
        return (statement.body,)
    return ()


def all_bodies(body: list[Statement]) -> Iterator[list[Statement]]:
    """Yield `body` and all bodies in it."""
    stack = [body]
    while stack:
        one = stack.pop()
        yield one
        for statement in one:
            stack.extend(bodies(statement))


def buffers_of(body: list[Statement]) -> list[Buffer]:
    """Return the buffers that a body loads from or stores into, in order."""
    found: dict[Buffer, None] = {}
    for one in all_bodies(body):
        for statement in one:
            for node in ordered(roots(statement)):
                if isinstance(node, Load):
                    found[node.buffer] = None
            if isinstance(statement, Store | TileLoad | TileStore):
                found[statement.buffer] = None
    return list(found)
