"""Every sample of every primitive as a case for the tests of the transforms."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from plait.dtypes import as_dtype, float64
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import elementwise, reduce, source
from plait.transform import ALL_PRIMITIVES
from plait.transform.differentiate import pull_back
from plait.transform.push_forward import push_forward


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
    """Return the derivatives of the results of `function` along `directions`."""

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


def real(*shape, dtype=float64):
    return make_input(shape, dtype, differentiable=dtype.is_float)


def gradient(y, *wrt):
    return pull_back([y], [source.full_like(y, 1)], wrt)


def check_derivatives(build, arrays, *, reverse=True, rtol=1e-6):
    """Check first and second derivatives of a scalar expression of float inputs.

    Args:
        build: from input nodes to a scalar node.
    """
    inputs = [real(*np.shape(x)) for x in arrays]
    y = build(*inputs)
    random = np.random.default_rng(3)
    directions = [random.normal(size=np.shape(x)) for x in arrays]

    def along(outputs):
        function = partial(run, inputs, outputs)
        return central_difference(function, arrays, directions, 1e-5)

    seeds = [real(*x.shape) for x in inputs]
    given = dict(zip(inputs, seeds, strict=True))
    everything, values = [*inputs, *seeds], [*arrays, *directions]
    tangents = push_forward([y], given)
    second = push_forward(tangents, given)
    (slope,) = along([y])
    (got,) = run(everything, tangents, values)
    np.testing.assert_allclose(got, slope, rtol=rtol, atol=1e-8)
    grown = central_difference(
        lambda moved: run(everything, tangents, [*moved, *directions]),
        arrays,
        directions,
    )
    (got,) = run(everything, second, values)
    np.testing.assert_allclose(
        0.0 if got is None else got, grown[0], rtol=1e-5, atol=1e-7
    )
    if not reverse:
        return
    cotangents = [
        source.full_like(x, 0) if ct is None else ct
        for x, ct in zip(inputs, gradient(y, *inputs), strict=True)
    ]
    found = run(inputs, cotangents, arrays)
    total = sum(np.sum(a * b) for a, b in zip(found, directions, strict=True))
    np.testing.assert_allclose(total, slope, rtol=rtol, atol=1e-8)
    weighted = source.full_like(y, 0)
    for ct, seed in zip(cotangents, seeds, strict=True):
        product = elementwise.multiply(ct, seed)
        weighted = elementwise.add(
            weighted, reduce.sum_over(product, range(product.ndim))
        )
    # Hessian times direction: reverse over reverse, and forward over reverse.
    expected = along(cotangents)
    twice = [
        source.full_like(x, 0) if ct is None else ct
        for x, ct in zip(inputs, gradient(weighted, *inputs), strict=True)
    ]
    mixed = [
        source.full_like(x, 0) if t is None else t
        for x, t in zip(inputs, push_forward(cotangents, given), strict=True)
    ]
    for outputs in (twice, mixed):
        for got, slope in zip(run(everything, outputs, values), expected, strict=True):
            np.testing.assert_allclose(got, slope, rtol=1e-5, atol=1e-7)
