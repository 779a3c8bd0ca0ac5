"""Functions with derivatives of their own, and regions that are computed again."""

import numpy as np
import pytest

from plait.dtypes import float32, float64, int64
from plait.errors import DTypeError, GradientError, ShapeError
from plait.ir.build import apply, inline, make_input
from plait.ir.graph import Graph, topological_order
from plait.ops import contract, elementwise, reduce, source
from plait.transform import control, region, scan
from plait.transform.batch import batch
from plait.transform.differentiate import pull_back
from plait.transform.push_forward import push_forward
from plait.transform.region import custom, recompute

from .cases import check_derivatives, enter, gradient, real, results_of, run

add, multiply, sin = elementwise.add, elementwise.multiply, elementwise.sin


@pytest.mark.parametrize(
    ("primitive", "failure"),
    [
        pytest.param(primitive, failure, id=f"{primitive.name}-{i}")
        for primitive in (*control.PRIMITIVES, *scan.PRIMITIVES, *region.PRIMITIVES)
        for i, failure in enumerate(primitive.failures())
    ],
)
def test_what_is_refused_is_told_word_for_word(primitive, failure):
    with pytest.raises(failure.error) as caught:
        results_of(primitive, enter(failure.operands), failure.attributes)
    assert caught.value.message == failure.message


# Custom derivative


def rule(value, forward, backward, count=1, shape=()):
    """Return the three graphs of functions of nodes; `count` float arguments."""
    first = [real(*shape) for _ in range(count)]
    second = [real(*shape) for _ in range(count)]
    graph = Graph(first, value(*first))
    ahead = Graph(second, forward(*second))
    inputs = [
        real(*y.shape) for y in (*ahead.outputs[len(graph.outputs) :], *graph.outputs)
    ]
    return graph, ahead, Graph(inputs, backward(*inputs))


def product(x, y, shape=()):
    """Return x * sin(y), its derivative written out."""
    graphs = rule(
        lambda x, y: [multiply(x, sin(y))],
        lambda x, y: [multiply(x, sin(y)), sin(y), multiply(x, elementwise.cos(y))],
        lambda dx, dy, ct: [multiply(dx, ct), multiply(dy, ct)],
        2,
        shape,
    )
    return custom([], [x, y], *graphs, (0, 1))[0]


def test_derivatives_of_a_true_rule():
    def build(x, y):
        z = product(x, y)
        return multiply(z, elementwise.exp(z))

    check_derivatives(build, [np.array(0.6), np.array(1.1)])


def test_the_rule_is_what_counts():
    """A round that passes cotangents straight through, doubled."""
    graphs = rule(
        lambda x: [elementwise.round(x)],
        lambda x: [elementwise.round(x)],
        lambda ct: [multiply(ct, 2.0)],
        shape=(3,),
    )
    x, t = real(3), real(3)
    (y,) = custom([], [x], *graphs, (0,))
    array = np.array([0.2, 0.7, 1.6])
    assert run([x], [y], [array])[0].tolist() == [0.0, 1.0, 2.0]
    (ct,) = gradient(y, x)
    assert run([x], [ct], [array])[0].tolist() == [2.0, 2.0, 2.0]
    (tangent,) = push_forward([y], {x: t})
    direction = np.array([1.0, 10.0, 100.0])
    assert run([x, t], [tangent], [array, direction])[0].tolist() == [2.0, 20.0, 200.0]


def test_a_rule_that_is_not_linear_has_no_forward_mode():
    graphs = rule(
        lambda x: [multiply(x, 1.0)],
        lambda x: [multiply(x, 1.0)],
        lambda ct: [elementwise.clip(ct, -1.0, 1.0)],
    )
    x = real()
    (y,) = custom([], [x], *graphs, (0,))
    (ct,) = gradient(multiply(y, 5.0), x)
    assert run([x], [ct], [3.0]) == [1.0]
    with pytest.raises(GradientError, match=r"\[custom_vjp\].*not linear"):
        push_forward([y], {x: real()})


def test_a_result_that_is_not_used_has_a_cotangent_of_zeros():
    graphs = rule(
        lambda x: [sin(x), elementwise.exp(x)],
        lambda x: [sin(x), elementwise.exp(x)],
        lambda first, second: [add(multiply(first, 10.0), second)],
    )
    x = real()
    y, z = custom([], [x], *graphs, (0,))
    assert run([x], gradient(y, x), [0.5]) == [10.0]
    assert run([x], gradient(z, x), [0.5]) == [1.0]
    assert run([x], gradient(add(y, z), x), [0.5]) == [11.0]


def captures():
    """Return the graphs of k * x, where k is captured."""
    k, x, slope, ct = real(), real(), real(), real()
    return (
        Graph((k, x), (multiply(k, x),)),
        Graph((k, x), (multiply(k, x), k)),
        Graph((slope, ct), (multiply(slope, ct),)),
    )


def test_what_is_captured_is_constant():
    k, x = make_input((), float64), real()
    (y,) = custom([k], [x], *captures(), (0,))
    assert run([k, x], gradient(y, x), [3.0, 2.0]) == [3.0]
    k = real()
    (y,) = custom([k], [x], *captures(), (0,))
    assert run([k, x], gradient(y, x), [3.0, 2.0]) == [3.0]
    with pytest.raises(GradientError, match=r"is no argument.*Fix: make it"):
        gradient(y, k)


def test_operands_of_other_types_get_no_cotangent():
    x, n = real(), make_input((), int64)
    a, m, ct, back = real(), make_input((), int64), real(), make_input((), int64)
    scaled = multiply(a, elementwise.cast(m, float64))
    graph = Graph((a, m), (scaled,))
    ahead = Graph((a, m), (scaled, m))
    behind = Graph((back, ct), (multiply(ct, elementwise.cast(back, float64)), back))
    (y,) = custom([], [x, n], graph, ahead, behind, (0, 1))
    assert run([x, n], gradient(y, x), [1.0, np.array(4)]) == [4.0]


@pytest.mark.parametrize("many", [(0,), (1,), (0, 1)])
def test_a_rule_over_many(many):
    x, y = real(2), real(2)
    z = product(x, y, (2,))
    end = reduce.sum(multiply(z, z))
    outputs = [end, *gradient(end, x, y)]
    wide = {(x, y)[i]: real(3, 2) for i in many}
    found = [w for w, _ in batch(outputs, wide)]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(3, 2)), random.normal(size=(3, 2))]
    values = [a if n in wide else a[0] for a, n in zip(arrays, (x, y), strict=True)]
    got = run([wide.get(x, x), wide.get(y, y)], found, values)
    for i in range(3):
        one = [v[i] if n in wide else v for v, n in zip(values, (x, y), strict=True)]
        for a, b in zip(got, run([x, y], outputs, one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-12)


@pytest.mark.parametrize("many", [(0,), (1,)])
def test_the_gradient_of_a_rule_over_many(many):
    """Here examples share an operand, whose cotangents must be summed."""
    x, y = real(2), real(2)
    z = product(x, y, (2,))
    wide = {(x, y)[i]: real(3, 2) for i in many}
    ((several, _),) = batch([z], wide)
    inputs = [wide.get(x, x), wide.get(y, y)]
    total = reduce.sum(several)
    random = np.random.default_rng(1)
    arrays = [random.normal(size=node.shape) for node in inputs]
    a, b = arrays
    got = run(inputs, gradient(total, *inputs), arrays)
    expected = [np.sin(b) + 0 * a, a * np.cos(b)]
    for ct, full, node in zip(got, expected, inputs, strict=True):
        np.testing.assert_allclose(ct, full if node.ndim == 2 else full.sum(0))


def test_a_rule_with_control_flow_in_it():
    """The backward function scans over the cotangent; forward mode transposes that."""
    total, x = real(), real()
    body = Graph((total, x), (add(total, x), add(total, x)))

    def sums(x, reverse):
        zero = source.constant(0.0, float64)
        return scan.scan([], [zero], [x], body, 4, reverse)[1]

    graphs = rule(
        lambda x: [reduce.cumulative_sum(x, axis=0)],
        lambda x: [reduce.cumulative_sum(x, axis=0)],
        lambda ct: [sums(ct, True)],
        shape=(4,),
    )

    def build(x):
        (y,) = custom([], [x], *graphs, (0,))
        return reduce.sum(multiply(sin(y), y))

    check_derivatives(build, [np.array([0.3, -0.2, 0.9, 0.5])])


def test_rules_that_do_not_fit_are_refused():
    def fails(error, message, value, forward, backward):
        x = real()
        with pytest.raises(error, match=message):
            custom([], [x], *rule(value, forward, backward), (0,))

    same = lambda x: [sin(x)]  # noqa: E731
    fails(
        ShapeError, "forward function returns fewer results", same, lambda x: [], same
    )
    fails(
        DTypeError, r"result 0 of .*Got: float32\[\] for float64\[\]",
        same, lambda x: [elementwise.cast(x, float32)], same,
    )  # fmt: skip
    fails(
        ShapeError, "Got: 2 cotangents for 1 arguments", same, same, lambda ct: [ct, ct]
    )
    fails(
        DTypeError, "cotangent of argument 0.*cast the result with x.to.plait.float64.",
        same, same, lambda ct: [elementwise.cast(ct, float32)],
    )  # fmt: skip


# Recompute


def layers(x, w):
    for _ in range(3):
        x = elementwise.tanh(contract.matmul(x, w))
    return x


def region_of(function, *operands):
    inputs = [real(*x.shape) for x in operands]
    (y,) = recompute(operands, Graph(inputs, (function(*inputs),)))
    return y


def test_derivatives_of_a_region():
    def build(x, w):
        y = region_of(layers, x, w)
        return reduce.sum(multiply(y, y))

    random = np.random.default_rng(0)
    check_derivatives(build, [random.normal(size=(2, 3)), random.normal(size=(3, 3))])


def test_a_region_computes_what_its_function_does():
    x, w = real(2, 3), real(3, 3)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(2, 3)), random.normal(size=(3, 3))]
    plain, region_ = layers(x, w), region_of(layers, x, w)
    for a, b in (
        (plain, region_),
        *zip(gradient(plain, x, w), gradient(region_, x, w), strict=True),
    ):
        first, second = run([x, w], [a, b], arrays)
        np.testing.assert_array_equal(first, second)


def test_nothing_inside_a_region_is_seen_from_outside():
    """Its derivative is one node of its operands and the cotangent."""
    x, w = real(2, 3), real(3, 3)
    y = region_of(layers, x, w)
    ct = real(2, 3)
    found = pull_back([y], [ct], [x, w])
    names = [n.primitive.name for n in topological_order(found)]
    assert sorted(names) == ["input"] * 3 + ["pick"] * 2 + ["recompute"]
    (tangent,) = push_forward([y], {x: real(2, 3)})
    names = [n.primitive.name for n in topological_order([tangent])]
    assert sorted(names) == ["input"] * 3 + ["pick", "recompute"]
    ((wide, _),) = batch([y], {x: real(4, 2, 3)})
    names = [n.primitive.name for n in topological_order([wide])]
    assert sorted(names) == ["input"] * 2 + ["pick", "recompute"]


def test_regions_nest_with_scans():
    """A scan whose step is a region, itself in a region."""
    h, x = real(), real()
    body = Graph((h, x), (region_of(lambda h, x: sin(add(multiply(h, h), x)), h, x),))

    def build(start, xs):
        def inner(start, xs):
            (last,) = scan.scan([], [start], [xs], body)
            return last

        return multiply(region_of(inner, start, xs), 3.0)

    check_derivatives(build, [np.array(0.2), np.array([0.5, -0.4, 1.2])])


def test_a_region_over_many():
    x, w = real(2, 3), real(3, 3)
    y = region_of(layers, x, w)
    (slope,) = gradient(reduce.sum(y), w)
    xs = real(4, 2, 3)
    found = [n for n, _ in batch([y, slope], {x: xs})]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(4, 2, 3)), random.normal(size=(3, 3))]
    got = run([xs, w], found, arrays)
    for i in range(4):
        expected = run([x, w], [y, slope], [arrays[0][i], arrays[1]])
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-12)


def test_a_rule_inlined_keeps_its_primitive():
    """Building a graph again from other inputs keeps regions as they are."""
    x, w = real(2, 3), real(3, 3)
    graph = Graph((x, w), (region_of(layers, x, w),))
    (y,) = inline(graph, [real(2, 3), real(3, 3)])
    assert y.operands[0].primitive is region.RECOMPUTE
    assert y.differentiable
    (y,) = inline(graph, [make_input((2, 3), float64), make_input((3, 3), float64)])
    assert not y.differentiable
    assert apply(source.STOP_GRADIENT, y).shape == (2, 3)
