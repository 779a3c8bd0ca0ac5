"""Every sample of every primitive as a case for the tests of the transforms."""

from itertools import product

import numpy as np
import pytest

from plait.dtypes import as_dtype
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.transform import ALL_PRIMITIVES


def cases(wanted):
    """Return a parameter (primitive, sample) for each sample that is `wanted`."""
    return [
        pytest.param(primitive, sample, id=f"{primitive.name}-{i}")
        for primitive in ALL_PRIMITIVES
        for i, sample in enumerate(primitive.samples())
        if wanted(primitive, sample)
    ]


def enter(arrays, differentiable=True):
    """Return an input for each array."""
    dtypes = [as_dtype(np.asarray(x).dtype) for x in arrays]
    return [
        make_input(np.shape(x), dtype, differentiable=differentiable and dtype.is_float)
        for x, dtype in zip(arrays, dtypes, strict=True)
    ]


def results_of(primitive, inputs, attributes):
    """Return the results of a primitive as a tuple, also where there is one."""
    node = apply(primitive, *inputs, **attributes)
    return picks(node) if isinstance(node.type, tuple) else (node,)


def run(inputs, outputs, arrays):
    """Return the values of nodes, None for None."""
    values = iter(
        interpret(Graph(inputs, [y for y in outputs if y is not None]), arrays)
    )
    return [None if y is None else next(values) for y in outputs]


def is_float(array):
    return as_dtype(np.asarray(array).dtype).is_float


def combinations(count):
    """Return every choice of some of `count` things, as flags."""
    return [flags for flags in product((True, False), repeat=count) if any(flags)]


def central_difference(function, arrays, directions, step=1e-6):
    """Return the derivatives of the results of `function` along `directions`, by halves."""

    def along(sign):
        moved = [
            x if d is None else x + sign * step * d
            for x, d in zip(arrays, directions, strict=True)
        ]
        return function(moved)

    return [
        (np.asarray(up) - np.asarray(down)) / (2 * step) if is_float(up) else None
        for up, down in zip(along(1), along(-1), strict=True)
    ]
