"""The list of all primitives and ops: every module of this folder that has some.

Read first: `PRIMITIVES`, `OPS`.
"""

from . import (
    activation,
    arithmetic,
    arrange,
    bag,
    bessel,
    channels,
    closeness,
    contract,
    contrast,
    convolution,
    distances,
    elementwise,
    factor,
    focal,
    gather,
    incomplete,
    index,
    interpolation,
    loss,
    loss_parts,
    margin,
    movement,
    overlap,
    padding,
    philox,
    pooling,
    present,
    probability,
    reduce,
    sampling,
    sort,
    source,
    special,
    spectrum,
    statistics,
    system,
    unpooling,
    window,
)

MODULES = (
    source, elementwise, special, incomplete, movement, reduce, contract, gather,
    index, sort, padding, convolution, window, pooling,
    interpolation, sampling, spectrum, factor, system, philox, activation, loss_parts,
    loss, margin, focal, overlap, contrast,
    unpooling, channels, bag, distances,
    closeness, arithmetic, present, statistics, arrange, probability, bessel,
)  # fmt: skip
PRIMITIVES = tuple(
    primitive for module in MODULES for primitive in getattr(module, "PRIMITIVES", ())
)
OPS = tuple(op for module in MODULES for op in getattr(module, "OPS", ()))
