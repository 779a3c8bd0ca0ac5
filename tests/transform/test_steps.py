"""What derivatives of loops do after the loop, or need not do again."""

import numpy as np
import pytest

from plait.ir.graph import Graph, topological_order
from plait.ops import contract, elementwise, movement, reduce
from plait.ops import source as s
from plait.transform.differentiate import pull_back
from plait.transform.scan import scan
from plait.transform.simplify import simplify

from .cases import check_derivatives, real

STEPS, BATCH, WIDE = 5, 4, 3


def body(form):
    """Return a body over w, bias; h; x whose products have one form or another."""
    w, bias, h, x = real(WIDE, WIDE), real(WIDE), real(BATCH, WIDE), real(BATCH, WIDE)
    if form == "linear":
        new = contract.linear(h, w, bias)
    elif form == "twice":
        new = contract.matmul(contract.matmul(h, w), movement.permute_dims(w, (1, 0)))
        new = elementwise.add(new, bias)
    elif form == "product of w":
        new = contract.matmul(h, contract.matmul(w, w))
        new = elementwise.add(new, bias)
    else:
        new = elementwise.multiply(elementwise.add(h, bias), reduce.sum(w))
    new = elementwise.tanh(elementwise.add(new, x))
    return Graph((w, bias, h, x), (new, new))


def loss(form):
    def build(w, bias, h, xs):
        last, states = scan([w, bias], [h], [xs], body(form))
        weights = s.constant(np.arange(1.0, WIDE + 1), states.dtype)
        return elementwise.add(
            reduce.sum(elementwise.multiply(states, weights)), reduce.sum(last)
        )

    return build


def scans(form):
    """Return the loops of a training step, and the products outside of them."""
    inputs = [real(*x) for x in SHAPES]
    value = loss(form)(*inputs)
    gradients = pull_back([value], [s.full_like(value, 1)], inputs)
    graph = simplify(Graph(inputs, (value, *gradients)))
    nodes = topological_order(graph.outputs)
    loops = [x for x in nodes if x.primitive.name == "scan"]
    return loops, [x for x in nodes if x.primitive.name == "dot"]


def dots(loop):
    nodes = topological_order(loop.attributes["body"].outputs)
    return [x for x in nodes if x.primitive.name == "dot"]


SHAPES = ((WIDE, WIDE), (WIDE,), (BATCH, WIDE), (STEPS, BATCH, WIDE))
FORMS = ("linear", "twice", "product of w", "no product")


@pytest.mark.parametrize("form", FORMS)
def test_derivatives(form):
    random = np.random.default_rng(0)
    check_derivatives(loss(form), [random.normal(size=x) * 0.4 for x in SHAPES])


def test_a_weight_is_multiplied_with_all_steps_at_once():
    loops, outside = scans("linear")
    backward = loops[-1]
    # One carry, the cotangent of h: no sums.
    assert backward.attributes["carried"] == 1
    # Backward through the state; the product of the forward direction was kept.
    assert len(dots(backward)) == 1
    (product,) = outside
    shapes = sorted(x.shape for x in product.operands)
    assert shapes == [(STEPS, BATCH, WIDE)] * 2
    assert product.shape == (WIDE, WIDE)


def test_uses_of_a_weight_are_added_up_together():
    loops, outside = scans("twice")
    assert loops[-1].attributes["carried"] == 1
    assert len(outside) == 2
    assert all(STEPS in x.operands[0].shape for x in outside)


@pytest.mark.parametrize("form", ["product of w", "no product"])
def test_other_cotangents_are_carried(form):
    loops, outside = scans(form)
    assert loops[-1].attributes["carried"] > 1
    assert outside == []


def test_large_products_are_computed_again():
    """A loop over blocks of attention would keep all scores otherwise."""
    long = 64
    q, m, k = real(long, 2), real(long, 1), real(4, 2)
    scores = contract.matmul(q, movement.permute_dims(k, (1, 0)))
    total = elementwise.add(m, reduce.sum(elementwise.exp(scores), 1, keepdims=True))
    inputs = [real(long, 2), real(long, 1), real(3, 4, 2)]
    (end,) = scan(inputs[:1], inputs[1:2], inputs[2:], Graph((q, m, k), (total,)))
    value = reduce.sum(end)
    gradients = pull_back([value], [s.full_like(value, 1)], inputs)
    sizes = [
        type.size
        for node in topological_order([x for x in gradients if x is not None])
        if node.primitive.name == "scan"
        for type in node.type
    ]
    assert max(sizes) < 3 * long * 4


def test_what_follows_a_product_is_kept_with_it():
    loops, _ = scans("linear")
    names = {
        x.primitive.name
        for x in topological_order(loops[-1].attributes["body"].outputs)
    }
    # tanh(h @ w + bias + x) is what was kept.
    assert "tanh" not in names
