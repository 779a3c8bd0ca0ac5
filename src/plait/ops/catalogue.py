"""The list of all primitives and ops: every module of this folder that has some.

Read first: `PRIMITIVES`, `OPS`.
"""

from . import (
    activation,
    contract,
    convolution,
    elementwise,
    factor,
    gather,
    index,
    interpolation,
    loss,
    movement,
    padding,
    philox,
    pooling,
    reduce,
    sort,
    source,
    special,
    system,
    window,
)

MODULES = (
    source, elementwise, special, movement, reduce, contract, gather, index, sort,
    padding, convolution, window, pooling,
    interpolation, factor, system, philox, activation, loss,
)  # fmt: skip
PRIMITIVES = tuple(
    primitive for module in MODULES for primitive in getattr(module, "PRIMITIVES", ())
)
OPS = tuple(op for module in MODULES for op in getattr(module, "OPS", ()))
