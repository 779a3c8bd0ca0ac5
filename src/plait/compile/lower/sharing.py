"""Whether a kernel may write a result where one of its operands lies.

Read first: `may_share`.
"""

from __future__ import annotations

from ..loops.grammar import (
    Buffer,
    Constant,
    Expression,
    Get,
    Kernel,
    Load,
    Operation,
    Store,
    TileLoad,
    Variable,
)
from ..loops.traverse import all_bodies, ordered, roots


def may_share(kernel: Kernel, target: Buffer, source: Buffer) -> bool:
    """Return whether `target` may be the same memory as `source`, which is only read.

    It may if every element is loaded only to be stored to the same place later in the
    same body: then no element is loaded after it was overwritten, as each is stored
    once.
    """
    if target.dtype is not source.dtype or target.size != source.size:
        return False
    for body in all_bodies(kernel.body):
        loaded: list[Expression] = []
        for statement in body:
            for node in ordered(roots(statement)):
                if isinstance(node, Load) and node.buffer is source:
                    loaded.append(node.index)
            if isinstance(statement, TileLoad) and statement.buffer is source:
                return False
            if isinstance(statement, Store) and statement.buffer is target:
                if statement.condition is not None:
                    return False
                loaded = [at for at in loaded if not _same(at, statement.index)]
        if loaded:
            return False
    return True


def _same(first: Expression, second: Expression) -> bool:
    """Return whether two indices in one body are equal by their structure."""
    pairs = [(first, second)]
    done: set[tuple[int, int]] = set()
    while pairs:
        x, y = pairs.pop()
        if x is y or (id(x), id(y)) in done:
            continue
        done.add((id(x), id(y)))
        if isinstance(x, Constant) and isinstance(y, Constant):
            if x.value != y.value:
                return False
        elif isinstance(x, Variable) and isinstance(y, Variable):
            if x.name != y.name:
                return False
        elif isinstance(x, Operation) and isinstance(y, Operation):
            if x.name != y.name or len(x.operands) != len(y.operands):
                return False
            pairs.extend(zip(x.operands, y.operands, strict=True))
        elif isinstance(x, Get) and isinstance(y, Get):
            if x.registers is not y.registers:
                return False
            pairs.append((x.place, y.place))
        else:
            return False
    return True
