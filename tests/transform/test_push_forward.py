"""Forward mode against finite differences and against reverse mode."""

from functools import partial

import numpy as np
import pytest

from plait.dtypes import float64, int64
from plait.errors import GradientError
from plait.ir.build import apply, make_input, pick, picks
from plait.ir.graph import TensorType, topological_order
from plait.ir.primitive import Primitive
from plait.ops import elementwise, reduce, source
from plait.transform import ALL_PRIMITIVES, differentiate
from plait.transform import push_forward as forward
from plait.transform.differentiate import pull_back
from plait.transform.push_forward import push_forward, transposed

from .cases import (
    cases,
    central_difference,
    enter,
    is_float,
    results_of,
    run,
)


def smooth(primitive, sample):
    wide = all(x.dtype == np.float64 for x in sample.operands if is_float(x))
    floats = any(is_float(x) for x in sample.operands)
    # Its derivative is defined to be another.
    return sample.smooth and wide and floats and primitive.name != "stop_gradient"


def zeros(x):
    return np.zeros(x.shape)


def some_float_operands(arrays):
    """Return choices of float operands: each alone, and all."""
    floats = [i for i, x in enumerate(arrays) if is_float(x)]
    alone = [tuple(i == j for j in range(len(arrays))) for i in floats]
    return dict.fromkeys([*alone, tuple(i in floats for i in range(len(arrays)))])


@pytest.mark.parametrize(("primitive", "sample"), cases(smooth))
def test_tangents_are_finite_differences(primitive, sample):
    random = np.random.default_rng(0)
    arrays = sample.operands
    for flags in some_float_operands(arrays):
        inputs = enter(arrays)
        outputs = results_of(primitive, inputs, sample.attributes)
        seeds = [x if f else None for x, f in zip(enter(arrays), flags, strict=True)]
        directions = [
            random.normal(size=np.shape(x)) if f else None
            for x, f in zip(arrays, flags, strict=True)
        ]
        pairs = list(zip(inputs, seeds, directions, strict=True))
        given = {x: seed for x, seed, _ in pairs if seed is not None}
        tangents = push_forward(outputs, given)
        values = run(
            [*inputs, *given.values()], tangents,
            [*arrays, *(d for d in directions if d is not None)],
        )  # fmt: skip
        function = partial(run, inputs, outputs)
        expected = central_difference(function, arrays, directions)
        for y, tangent, value, slope in zip(
            outputs, tangents, values, expected, strict=True
        ):
            if tangent is None:
                assert slope is None or not slope.any()
            else:
                assert tangent.type == y.type
                np.testing.assert_allclose(value, slope, rtol=1e-5, atol=1e-7)


def in_both_modes(primitive, sample):
    floats = any(is_float(x) for x in sample.operands)
    return floats and primitive.vjp is not None and sample.smooth


@pytest.mark.parametrize(("primitive", "sample"), cases(in_both_modes))
def test_forward_and_reverse_are_transposes(primitive, sample):
    """The sum of ct * (J t) is the sum of (ct J) * t."""
    random = np.random.default_rng(1)
    arrays = sample.operands
    inputs = enter(arrays)
    outputs = results_of(primitive, inputs, sample.attributes)
    wrt = [x for x in inputs if x.differentiable]
    seen = [y for y in outputs if y.differentiable]
    seeds = [make_input(x.shape, x.dtype, differentiable=True) for x in wrt]
    given = [make_input(y.shape, y.dtype, differentiable=True) for y in seen]
    tangents = push_forward(seen, dict(zip(wrt, seeds, strict=True)))
    cotangents = pull_back(seen, given, wrt)
    directions = [random.normal(size=x.shape).astype(x.dtype.numpy) for x in wrt]
    weights = [random.normal(size=y.shape).astype(y.dtype.numpy) for y in seen]
    values = run(
        [*inputs, *seeds, *given],
        [*tangents, *cotangents],
        [*arrays, *directions, *weights],
    )
    forward = sum(
        (np.sum(w * t) for w, t in zip(weights, values, strict=False) if t is not None),
        0.0,
    )
    backward = sum(
        np.sum(d * ct)
        for d, ct in zip(directions, values[len(seen) :], strict=True)
        if ct is not None
    )
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-12)


def has_linear_vjp(primitive, sample):
    return primitive.name != "while_loop" and in_both_modes(primitive, sample)


@pytest.mark.parametrize(("primitive", "sample"), cases(has_linear_vjp))
def test_a_vjp_is_linear_in_the_cotangent(primitive, sample):
    """So that its transpose reaches neither stand-in nor anything not given."""
    inputs = enter(sample.operands)
    node = apply(primitive, *inputs, **sample.attributes)
    seeds = [x if x.dtype.is_float else None for x in enter(sample.operands)]
    found = transposed(seeds, node)
    reached = topological_order([y for y in found if y is not None])
    allowed = {*inputs, *seeds}
    assert all(n in allowed for n in reached if n.primitive.name == "input")


def test_derived_rules_agree_with_those_written():
    for primitive in ALL_PRIMITIVES:
        if primitive.jvp is None or primitive.vjp is None:
            continue
        for sample in primitive.samples():
            if not in_both_modes(primitive, sample):
                continue
            inputs, seeds = enter(sample.operands), enter(sample.operands)
            node = apply(primitive, *inputs, **sample.attributes)
            outputs = picks(node) if isinstance(node.type, tuple) else [node]
            given = {
                x: s for x, s in zip(inputs, seeds, strict=True) if x.differentiable
            }
            written = push_forward(outputs, given)
            derived = transposed([given.get(x) for x in inputs], node)
            random = np.random.default_rng(2)
            arrays = list(sample.operands)
            arrays += [random.normal(size=np.shape(x)) for x in given.values()]
            leaves = [*inputs, *given.values()]
            for a, b in zip(
                run(leaves, written, arrays), run(leaves, derived, arrays), strict=True
            ):
                np.testing.assert_allclose(
                    0.0 if a is None else a, 0.0 if b is None else b, atol=1e-12
                )


def test_a_second_derivative_in_mixed_modes():
    x = make_input((3,), float64, differentiable=True)
    t = make_input((3,), float64)
    y = reduce.sum_over(elementwise.pow(x, elementwise.sin(x)), (0,))
    one = source.full_like(y, 1)
    (gradient,) = pull_back([y], [one], [x])
    over_reverse = push_forward([gradient], {x: t})
    (slope,) = push_forward([y], {x: t})
    over_forward = pull_back([slope], [one], [x])
    arrays = [np.array([0.5, 1.5, 2.5]), np.array([1.0, -2.0, 0.3])]
    first, second = run([x, t], [*over_reverse, *over_forward], arrays)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_what_does_not_vary_has_no_tangent():
    x = make_input((2,), float64, differentiable=True)
    y = make_input((2,), float64, differentiable=True)
    n = make_input((2,), int64)
    flat = [
        elementwise.sin(y),
        elementwise.sign(x),
        elementwise.floor(x),
        source.stop_gradient(x),
        elementwise.less(x, y),
        elementwise.cast(x, int64),
        elementwise.add(n, 1),
        source.constant([1.0, 2.0], float64),
    ]
    assert push_forward(flat, {x: y}) == [None] * len(flat)


def test_a_tangent_stops_at_nodes_that_are_given_one():
    x = make_input((), float64, differentiable=True)
    middle = elementwise.exp(x)
    end = elementwise.multiply(middle, 3.0)
    tangents = [make_input((), float64) for _ in range(2)]
    found = push_forward([end, middle, x], {x: tangents[0], middle: tangents[1]})
    assert found[1:] == [tangents[1], tangents[0]]
    assert run([x, *tangents], found[:1], [0.0, 5.0, 2.0]) == [6.0]


def test_links_carry_tangents_to_inputs_computed_elsewhere():
    x = make_input((), float64, differentiable=True)
    squared = elementwise.multiply(x, x)
    copy = make_input((), float64, differentiable=True)
    end = elementwise.sin(copy)
    seed = make_input((), float64)
    assert push_forward([end], {x: seed}) == [None]
    (tangent,) = push_forward([end], {x: seed}, {copy: squared})
    (value,) = run([x, copy, seed], [tangent], [3.0, 9.0, 1.0])
    np.testing.assert_allclose(value, np.cos(9.0) * 6.0)


def test_an_operand_used_twice():
    x = make_input((), float64, differentiable=True)
    seed = make_input((), float64)
    outputs = [elementwise.add(x, x), elementwise.multiply(x, x)]
    assert run([x, seed], push_forward(outputs, {x: seed}), [3.0, 1.0]) == [2.0, 6.0]


SPLIT = Primitive(
    name="split_parts",
    infer=lambda x: (x, TensorType(x.shape, int64), x),
    reference=lambda x: (np.trunc(x), np.sign(x).astype(int), x * x),
    vjp=lambda cts, node, x: (
        None if cts[2] is None else elementwise.multiply(cts[2], elementwise.add(x, x)),
    ),
)
BARE = Primitive(name="bare", infer=lambda x: x, reference=np.exp)
SQUARED = Primitive(
    name="squared",
    infer=lambda x: x,
    reference=np.sin,
    vjp=lambda ct, node, x: (elementwise.multiply(ct, ct),),
)


def test_a_derived_rule_for_several_results():
    x = make_input((2,), float64, differentiable=True)
    seed = make_input((2,), float64)
    node = apply(SPLIT, x)
    first, second, third = push_forward(picks(node), {x: seed})
    assert first is None
    assert second is None
    (value,) = run([x, seed], [third], [np.array([1.0, 2.0]), np.array([1.0, 10.0])])
    assert value.tolist() == [2.0, 40.0]
    assert push_forward([pick(node, 0)], {x: seed}) == [None]


def test_a_primitive_without_rules_is_named():
    x = make_input((2,), float64, differentiable=True)
    with pytest.raises(
        GradientError, match=r"\[bare\] has no derivative in forward mode"
    ):
        push_forward([apply(BARE, x)], {x: x})


def test_a_vjp_that_is_not_linear_is_refused():
    x = make_input((2,), float64, differentiable=True)
    with pytest.raises(GradientError, match="not linear in the cotangent"):
        push_forward([apply(SQUARED, x)], {x: make_input((2,), float64)})


def test_rules_look_at_their_neighbourhood_only(monkeypatch):
    """Searching all that lies before each node would take quadratic time."""
    visited = 0

    def counted(outputs, follow=None):
        nonlocal visited
        order = topological_order(outputs, follow)
        visited += len(order)
        return order

    for module in (differentiate, forward):
        monkeypatch.setattr(module, "topological_order", counted)
    x = make_input((), float64, differentiable=True)
    y = x
    for _ in range(100):
        y = elementwise.sin(y)
    push_forward([y], {x: make_input((), float64)})
    assert 100 < visited < 2000
