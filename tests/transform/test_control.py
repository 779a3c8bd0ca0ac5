"""Branches, loops and scans against straightforward Python, and their derivatives."""

import gc
import weakref

import numpy as np
import pytest

from plait.dtypes import bfloat16, bool_, float16, float32, float64, int64
from plait.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    GraphError,
    ShapeError,
)
from plait.ir.build import apply, make_input
from plait.ir.evaluate import interpret, prepared
from plait.ir.graph import Graph, topological_order
from plait.ops import contract, elementwise, movement, reduce, source
from plait.transform import control, region
from plait.transform.batch import batch
from plait.transform.control import cond, while_loop
from plait.transform.differentiate import pull_back
from plait.transform.push_forward import push_forward
from plait.transform.scan import scan

from .cases import check_derivatives, gradient, real, run

add, multiply, sin = elementwise.add, elementwise.multiply, elementwise.sin


def count(outputs, name):
    """Return how often the primitive `name` occurs, also inside graphs."""
    total = 0
    for node in topological_order([y for y in outputs if y is not None]):
        total += node.primitive.name == name
        for value in node.attributes.values():
            if isinstance(value, Graph):
                total += count(value.outputs, name)
    return total


# Cond


def branches(shape=()):
    """Return graphs over x, y: x * sin(y), and y ** 3."""
    x, y = real(*shape), real(*shape)
    a, b = real(*shape), real(*shape)
    return (
        Graph((x, y), (multiply(x, sin(y)),)),
        Graph((a, b), (multiply(b, multiply(b, b)),)),
    )


def test_cond_runs_one_branch():
    p, x, y = make_input((), bool_), real(), real()
    (z,) = cond(p, (x, y), *branches())
    assert run([p, x, y], [z], [np.array(True), 2.0, 0.5]) == [2.0 * np.sin(0.5)]
    assert run([p, x, y], [z], [np.array(False), 2.0, 0.5]) == [0.125]


@pytest.mark.parametrize("bound", [0.0, 10.0])
def test_derivatives_of_cond(bound):
    def build(x, y):
        (z,) = cond(elementwise.less(x, bound), (x, y), *branches())
        return multiply(z, z)

    check_derivatives(build, [np.array(1.3), np.array(0.7)])


def test_an_operand_of_one_branch_gets_zero_in_the_other():
    p, x, y = make_input((), bool_), real(), real()
    (z,) = cond(p, (x, y), *branches())
    found = gradient(z, x, y)
    for value, expected in (
        (True, [np.sin(0.5), 2 * np.cos(0.5)]),
        (False, [0.0, 0.75]),
    ):
        got = run([p, x, y], found, [np.array(value), 2.0, 0.5])
        np.testing.assert_allclose(got, expected)


def test_an_operand_that_no_branch_differentiates_gets_none():
    p, x, y = make_input((), bool_), real(), real()
    graph = Graph((a := real(), b := real()), (multiply(elementwise.floor(a), b),))
    (z,) = cond(p, (x, y), graph, graph)
    assert gradient(z, x)[0] is None
    assert push_forward([z], {x: real()}) == [None]


def test_only_what_is_wanted_is_computed():
    p, x, y = make_input((), bool_), real(), real()
    (z,) = cond(p, (x, y), *branches())
    (only,) = gradient(z, y)
    both = gradient(z, x, y)
    assert len(only.operands[0].type) == 1
    assert len(both[0].operands[0].type) == 2


def test_cond_over_many_predicates_selects():
    p, x, y = make_input((), bool_), real(2), real(2)
    (z,) = cond(p, (x, y), *branches((2,)))
    ps, ys = make_input((3,), bool_), real(3, 2)
    ((wide, _),) = batch([z], {p: ps, y: ys})
    assert count([wide], "cond") == 0
    a, b = np.array([1.0, 2.0]), np.arange(6.0).reshape(3, 2)
    flags = np.array([True, False, True])
    (got,) = run([ps, x, ys], [wide], [flags, a, b])
    np.testing.assert_allclose(got, np.where(flags[:, None], a * np.sin(b), b**3))


def test_cond_with_one_predicate_stays_a_cond():
    p, x, y = make_input((), bool_), real(), real()
    (z,) = cond(p, (x, y), *branches())
    xs = real(3)
    ((wide, _),) = batch([z], {x: xs})
    assert count([wide], "cond") == 1
    a = np.array([1.0, 2.0, 3.0])
    (got,) = run([p, xs, y], [wide], [np.array(False), a, 2.0])
    assert got.tolist() == [8.0, 8.0, 8.0]


# While


def test_while_is_a_python_loop():
    """Newton's iteration for a square root, until it stays."""
    a, x = real(), real()
    new = multiply(add(x, elementwise.divide(a, x)), 0.5)
    gap = elementwise.abs(elementwise.subtract(multiply(x, x), a))
    condition = Graph((a, x), (elementwise.less(1e-12, gap),))
    body = Graph((a, x), (new,))
    value, start = real(), real()
    (root,) = while_loop([value], [start], condition, body)
    assert run([value, start], [root], [2.0, 1.0])[0] == pytest.approx(np.sqrt(2))
    t = real()
    (slope,) = push_forward([root], {value: t})
    (got,) = run([value, start, t], [slope], [2.0, 1.0, 1.0])
    assert got == pytest.approx(0.5 / np.sqrt(2), abs=1e-6)
    with pytest.raises(GradientError, match=r"\[while_loop\].*use plait\.scan"):
        gradient(root, value)
    values = real(4)
    ((roots, _),) = batch([root], {value: values})
    numbers = np.array([2.0, 9.0, 100.0, 0.25])
    (got,) = run([values, start], [roots], [numbers, 1.0])
    np.testing.assert_allclose(got, np.sqrt(numbers))


def power_loop(x, n):
    """Return x to the power n, multiplied out; and the count that was reached."""
    limit, base, i, y = make_input((), int64), real(), make_input((), int64), real()
    condition = Graph((limit, base, i, y), (elementwise.less(i, limit),))
    body = Graph((limit, base, i, y), (add(i, 1), multiply(y, base)))
    one, zero = source.constant(1.0, float64), source.constant(0, int64)
    return while_loop([n, x], [zero, one], condition, body)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_derivatives_of_while(steps):
    def build(x):
        return power_loop(x, source.constant(steps, int64))[1]

    check_derivatives(build, [np.array(1.1)], reverse=False)


@pytest.mark.parametrize("many", ["n", "x", "both"])
def test_while_over_many(many):
    n, x = make_input((), int64), real()
    outputs = power_loop(x, n)
    wide = {}
    if many != "x":
        wide[n] = make_input((3,), int64)
    if many != "n":
        wide[x] = real(3)
    found = batch(outputs, wide)
    assert all(flag for _, flag in found)
    ns = np.array([2, 0, 5]) if n in wide else np.array(3)
    xs = np.array([1.5, 2.0, -1.0]) if x in wide else np.array(1.5)
    inputs = [wide.get(n, n), wide.get(x, x)]
    got = run(inputs, [y for y, _ in found], [ns, xs])
    np.testing.assert_array_equal(got[0], np.broadcast_to(ns, 3))
    np.testing.assert_allclose(got[1], np.broadcast_to(xs.astype(float) ** ns, 3))
    seeds = {x: real()}
    (slope,) = push_forward([outputs[1]], seeds)
    ((slopes, _),) = batch([slope], wide)
    (got,) = run([*inputs, seeds[x]], [slopes], [ns, xs, 1.0])
    np.testing.assert_allclose(got, np.broadcast_to(ns * xs ** (ns - 1.0), 3))


def test_while_over_no_examples_ends():
    n, x = make_input((), int64), real()
    ns = make_input((0,), int64)
    found = batch(power_loop(x, n), {n: ns})
    got = run([ns, x], [y for y, _ in found], [np.zeros(0, int), 2.0])
    assert [v.shape for v in got] == [(0,), (0,)]


# Scan


def recurrent(w, h, xs, reverse=False):
    """Return the last state and all states of h = tanh(w @ h + x)."""
    a, b, c = real(*w.shape), real(*h.shape), real(*xs.shape[1:])
    new = elementwise.tanh(add(contract.matmul(a, b), c))
    return scan([w], [h], [xs], Graph((a, b, c), (new, new)), None, reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_a_python_loop(reverse):
    random = np.random.default_rng(0)
    arrays = [random.normal(size=s) for s in ((3, 3), (3,), (5, 3))]
    inputs = [real(*x.shape) for x in arrays]
    last, states = run(inputs, recurrent(*inputs, reverse), arrays)
    w, h, xs = arrays
    for i in reversed(range(5)) if reverse else range(5):
        h = np.tanh(w @ h + xs[i])
        np.testing.assert_allclose(states[i], h)
    np.testing.assert_allclose(last, h)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 4])
def test_derivatives_of_scan(length, reverse):
    def build(w, h, xs):
        last, states = recurrent(w, h, xs, reverse)
        return add(reduce.sum(multiply(last, last)), reduce.sum(sin(states)))

    random = np.random.default_rng(1)
    arrays = [random.normal(size=s) for s in ((2, 2), (2,), (length, 2))]
    check_derivatives(build, arrays)


def test_a_scan_against_the_same_unrolled():
    random = np.random.default_rng(2)
    arrays = [random.normal(size=s) for s in ((3, 3), (3,), (6, 3))]
    w, h, xs = inputs = [real(*x.shape) for x in arrays]
    rolled, _ = recurrent(w, h, xs)
    unrolled = h
    for x in movement.unstack(xs):
        unrolled = elementwise.tanh(add(contract.matmul(w, unrolled), x))
    first = run(inputs, gradient(reduce.sum(rolled), *inputs), arrays)
    second = run(inputs, gradient(reduce.sum(unrolled), *inputs), arrays)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_an_integer_carry_has_no_cotangent():
    """Sum of i * x_i * a, where i is counted in the carry."""
    a, i, total, x = real(), make_input((), int64), real(), real()
    weight = multiply(elementwise.cast(i, float64), multiply(a, x))
    body = Graph((a, i, total, x), (add(i, 1), add(total, weight), i))

    def build(scale, xs):
        zero = source.constant(0, int64)
        _, end, _ = scan([scale], [zero, source.constant(0.0, float64)], [xs], body)
        return sin(end)

    check_derivatives(build, [np.array(0.3), np.array([0.5, -1.0, 0.25, 0.1])])
    scale, xs = real(), real(4)
    numbers = scan(
        [scale], [source.constant(0, int64), source.constant(0.0, float64)], [xs], body
    )[2]
    assert run([scale, xs], [numbers], [1.0, np.zeros(4)])[0].tolist() == [0, 1, 2, 3]


def test_a_carry_that_begins_constant_comes_to_vary():
    """Two carries that pass each other on: the first varies from the second step on."""
    a, b, x = real(), real(), real()
    body = Graph((a, b, x), (multiply(b, 1.5), add(sin(a), x)))

    def build(xs):
        zeros = [source.constant(0.5, float64), source.constant(0.2, float64)]
        first, second = scan([], zeros, [xs], body)
        return add(multiply(first, first), second)

    check_derivatives(build, [np.array([0.1, 0.7, -0.4, 0.9, 0.3])])


@pytest.mark.parametrize(("length", "expected"), [(3, 0.0), (0, 1.0)])
def test_a_carry_that_each_step_overwrites(length, expected):
    a, b, x = real(), real(), real()
    body = Graph((a, b, x), (elementwise.floor(x), add(b, x)))
    first, second, xs = real(), real(), real(length)
    outputs = scan([], [first, second], [xs], body)
    found = gradient(add(*outputs), first, second, xs)
    got = run([first, second, xs], found, [1.0, 2.0, np.full(length, 0.5)])
    assert [v.tolist() for v in got] == [expected, 1.0, [1.0] * length]
    t = real()
    (tangent,) = push_forward(outputs[:1], {first: t})
    (got,) = run([first, second, xs, t], [tangent], [1.0, 2.0, np.zeros(length), 1.0])
    assert got == expected


def test_a_scan_without_slices_takes_a_length():
    x = real()
    start = real()
    body = Graph((x,), (multiply(x, x), x))
    last, seen = scan([], [start], [], body, 3)
    assert [v.tolist() for v in run([start], [last, seen], [2.0])] == [
        256.0,
        [2.0, 4.0, 16.0],
    ]
    with pytest.raises(ArgumentError, match="the number of steps is not known"):
        scan([], [start], [], body)


def test_a_linear_scan_runs_no_forward_scan_for_its_derivative():
    total, x = real(), real()
    body = Graph((total, x), (add(total, sin(x)),))
    start, xs = real(), real(4)
    (end,) = scan([], [start], [xs], body)
    assert count(gradient(end, xs), "scan") == 1
    assert count(gradient(end, start), "scan") == 1
    (got,) = run([start, xs], gradient(end, xs), [0.0, np.arange(4.0)])
    np.testing.assert_allclose(got, np.cos(np.arange(4.0)))


def test_only_the_carries_that_are_needed_are_stacked():
    a, b, x = real(), real(50), real()
    body = Graph((a, b, x), (multiply(a, x), add(b, x)))
    first, second, xs = real(), real(50), real(3)
    one, many = scan([], [first, second], [xs], body)
    found = gradient(add(one, reduce.sum(many)), xs)
    scans = [n for n in topological_order(found) if n.primitive.name == "scan"]
    stacked = [n.type for n in scans if len(n.type) and n.type[-1].shape == (3,)]
    assert all(type.shape != (3, 50) for types in stacked for type in types)
    assert min(len(types) for types in stacked) == 2


def test_sixteen_bit_cotangents_of_captured_values_add_up_in_float32():
    """1 + 1 + ... in float16 would stay at 2048."""
    for dtype in (float16, bfloat16):
        w, total, x = (real(dtype=dtype) for _ in range(3))
        product = multiply(w, x)
        body = Graph((w, total, x), (elementwise.maximum(total, product), product))
        weight, start, xs = (real(*s, dtype=dtype) for s in ((), (), (4000,)))
        _, products = scan([weight], [start], [xs], body)
        ones = source.full_like(products, 1)
        (ct,) = pull_back([products], [ones], [weight])
        assert ct.dtype is dtype
        arrays = [np.zeros(s, dtype.numpy) for s in ((), ())]
        (got,) = run([weight, start, xs], [ct], [*arrays, np.ones(4000, dtype.numpy)])
        assert float(got) == float(np.asarray(4000, dtype.numpy))


@pytest.mark.parametrize("many", [(0,), (1,), (2,), (0, 1, 2), (0, 2)])
def test_scan_over_many(many):
    random = np.random.default_rng(5)
    arrays = [random.normal(size=s) for s in ((2, 2), (2,), (4, 2))]
    inputs = [real(*x.shape) for x in arrays]
    last, states = recurrent(*inputs)
    outputs = [last, states, *gradient(reduce.sum(last), *inputs)]
    wide = {inputs[i]: real(3, *inputs[i].shape) for i in many}
    found = [y for y, _ in batch(outputs, wide)]
    values = [
        np.stack([x * scale for scale in (1.0, 0.5, -0.7)]) if y in wide else x
        for x, y in zip(arrays, inputs, strict=True)
    ]
    got = run([wide.get(x, x) for x in inputs], found, values)
    for i in range(3):
        one = [v[i] if y in wide else v for v, y in zip(values, inputs, strict=True)]
        for a, b in zip(got, run(inputs, outputs, one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-10)


def test_a_carry_that_no_example_touches_is_not_repeated():
    i, total, x = make_input((), int64), real(), real()
    body = Graph((i, total, x), (add(i, 1), add(total, x), i))
    xs, many = real(4), real(3, 4)
    zero = source.constant(0, int64)
    outputs = scan([], [zero, source.constant(0.0, float64)], [xs], body)
    found = batch(outputs, {xs: many})
    (node,) = (
        n
        for n in topological_order([y for y, _ in found])
        if n.primitive.name == "scan" and n.operands[-1].shape == (4, 3)
    )
    assert [type.shape for type in node.type] == [(), (3,), (4,)]
    got = run([many], [y for y, _ in found], [np.ones((3, 4))])
    assert [v.tolist() for v in got] == [[4] * 3, [4.0] * 3, [[0, 1, 2, 3]] * 3]


# One inside another


def test_derivatives_of_scans_in_scans_and_conds():
    """A power series within a recurrence, whose step depends on the state."""
    c, total, k = real(), real(), real()
    inner = Graph((c, total, k), (add(multiply(total, c), sin(k)),))
    w, h, x = real(3), real(), real()
    (series,) = scan([h], [x], [w], inner)
    a, b = real(), real()
    calm = Graph((a, b), (multiply(a, 0.5),))
    c, d = real(), real()
    wild = Graph((c, d), (elementwise.tanh(multiply(c, d)),))
    (step,) = cond(elementwise.less(h, 0.4), (series, h), wild, calm)
    outer = Graph((w, h, x), (step, multiply(step, h)))

    def build(weights, start, xs):
        last, seen = scan([weights], [start], [xs], outer)
        return add(last, reduce.sum(seen))

    arrays = [
        np.array([0.3, -0.2, 0.5]),
        np.array(0.3),
        np.array([0.2, 0.9, -0.5, 0.4]),
    ]
    check_derivatives(build, arrays)


def test_derivatives_of_a_while_in_a_scan_in_forward_mode():
    h, x = real(), real()
    _, cubed = power_loop(h, source.constant(3, int64))
    body = Graph((h, x), (sin(add(cubed, x)),))

    def build(start, xs):
        (last,) = scan([], [start], [xs], body)
        return last

    arrays = [np.array(0.4), np.array([0.1, 0.6, -0.3])]
    check_derivatives(build, arrays, reverse=False)


def test_many_gradients_of_scans_inside_a_scan():
    """A scan over steps of gradient descent on a scan, for many starts at once."""
    w, h, xs = real(2, 2), real(2), real(3, 2)
    last, _ = recurrent(w, h, xs)
    (slope,) = gradient(reduce.sum(multiply(last, last)), w)
    step = Graph((h, xs, w), (elementwise.subtract(w, multiply(slope, 0.1)),))
    starts, state, series = real(2, 2), real(2), real(3, 2)
    (end,) = scan([state, series], [starts], [], step, 4)
    many = real(5, 2, 2)
    ((wide, _),) = batch([end], {starts: many})
    random = np.random.default_rng(7)
    arrays = [random.normal(size=s) for s in ((2,), (3, 2), (5, 2, 2))]
    (got,) = run([state, series, many], [wide], arrays)
    for i in range(5):
        (expected,) = run([state, series, starts], [end], [*arrays[:2], arrays[2][i]])
        np.testing.assert_allclose(got[i], expected, rtol=1e-10)


# Graphs derived from graphs


def test_derived_graphs_are_made_once():
    inputs = [real(2, 2), real(2), real(3, 2)]
    last, _ = recurrent(*inputs)
    many = real(4, 2)

    def graphs():
        found = gradient(reduce.sum(last), *inputs)
        wide = [y for y, _ in batch(found, {inputs[1]: many})]
        tangents = push_forward([last], {inputs[0]: real(2, 2)})
        return {
            value
            for node in topological_order([*found, *wide, *tangents])
            for value in node.attributes.values()
            if isinstance(value, Graph)
        }

    first = graphs()
    assert len(first) >= 5
    assert graphs() == first


def test_graphs_are_forgotten_with_what_was_derived_from_them():
    x = real()
    graph = Graph((x,), (sin(x),))
    p, y = make_input((), bool_), real()
    (z,) = cond(p, (y,), graph, graph)
    gradient(z, y)
    prepared(graph)
    reference = weakref.ref(graph)
    del graph, z
    gc.collect()
    assert reference() is None


def test_an_error_in_a_body_names_the_line_in_the_body():
    def refuse(x):
        raise ShapeError("[picky] no")

    picky = control.Primitive(name="picky", infer=lambda x: x, reference=refuse)
    x = real()
    inner = apply(picky, x)
    inner.where = "user.py:3"
    y = real()
    (z,) = region.recompute([y], Graph((x,), (inner,)))
    with pytest.raises(ShapeError, match=r"user\.py:3"):
        interpret(Graph((y,), (z,)), [1.0])


# Errors that samples of failures do not show


def test_a_graph_for_other_operands_is_refused():
    x = real(2)
    with pytest.raises(GraphError, match=r"\[cond\] the true branch does not take"):
        cond(make_input((), bool_), (x,), *branches())


def test_branches_with_different_types_are_refused():
    p, x = make_input((), bool_), real()
    first = Graph((x,), (x,))
    y = real()
    narrow = Graph((y,), (elementwise.cast(y, float32),))
    with pytest.raises(DTypeError) as caught:
        cond(p, (x,), first, narrow)
    assert caught.value.message == (
        "[cond] result 0 differs between the branches. Got: float64[] from the true "
        "branch, float32[] from the false branch. "
        "Fix: cast the result with x.to(plait.float64)."
    )
    with pytest.raises(ShapeError, match="1 from the true branch, 2 from the false"):
        cond(p, (x,), first, Graph((y,), (y, y)))


def test_loops_with_wrong_conditions_and_bodies_are_refused():
    x = real()
    good = Graph((x,), (elementwise.less(x, 1.0),))
    body = Graph((x,), (x,))
    start = real()
    with pytest.raises(DTypeError, match="result of the condition must be one bool"):
        while_loop([], [start], body, body)
    with pytest.raises(ShapeError, match=r"must return one bool\. Got: 2 results"):
        while_loop([], [start], Graph((x,), (good.outputs[0], x)), body)
    with pytest.raises(ShapeError, match="Got: 1 in, 2 out"):
        while_loop([], [start], good, Graph((x,), (x, x)))
    with pytest.raises(ShapeError, match=r"fewer values .*\. Got: 0 of 1"):
        scan([], [start], [], Graph((x,), ()), 2)
