"""The list of all primitives and ops: every module of this folder that has some.

Read first: `PRIMITIVES`, `OPS`.
"""

from . import (
    activation,
    contract,
    elementwise,
    gather,
    index,
    linalg,
    loss,
    movement,
    random,
    reduce,
    sort,
    source,
    special,
    window,
)

MODULES = (
    source, elementwise, special, movement, reduce, contract, gather, index, sort,
    window, linalg, random, activation, loss,
)  # fmt: skip
PRIMITIVES = tuple(
    primitive for module in MODULES for primitive in getattr(module, "PRIMITIVES", ())
)
OPS = tuple(op for module in MODULES for op in getattr(module, "OPS", ()))
