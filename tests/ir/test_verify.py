"""The verifier: good graphs pass, and each kind of fault is told with its node."""

import numpy as np
import pytest

from plait.dtypes import as_dtype, float32, float64, int32
from plait.errors import GraphError
from plait.ir.build import PICK, apply, make_input, pick, picks
from plait.ir.graph import Graph, Node, TensorType
from plait.ir.primitive import Primitive
from plait.ir.text import MAX_NESTING
from plait.ir.verify import verify
from plait.ops import PRIMITIVES, elementwise, movement, reduce, source

HALVES = Primitive("halves", infer=lambda x: (x, x), reference=lambda x: (x / 2, x / 2))
HOLD = Primitive("hold", infer=lambda x, **_: x, reference=lambda x, **_: x)
FLOAT = TensorType((3,), float32)


def made(primitive, *operands, type=FLOAT, **attributes):
    """Return a node without the checks of `apply`."""
    return Node(primitive, operands, attributes, type, False)


def fault(graph):
    with pytest.raises(GraphError) as caught:
        verify(graph)
    return caught.value.message


def x():
    return make_input((3,), float32)


def test_good_graphs_pass():
    a, b = make_input((3, 4), float32), make_input((), float32, weak=True)
    y = reduce.logsumexp(elementwise.multiply(a, b), axis=1)
    verify(Graph([a, b], [y, a, source.iota(3, int32)]))
    verify(Graph([], []))
    first, second = picks(apply(HALVES, a))
    verify(Graph([a], [elementwise.add(first, second)]))


def test_every_sample_of_every_primitive_passes():
    for primitive in PRIMITIVES:
        for sample in primitive.samples():
            arrays = [np.asarray(array) for array in sample.operands]
            inputs = [make_input(one.shape, as_dtype(one.dtype)) for one in arrays]
            node = apply(primitive, *inputs, **sample.attributes)
            outputs = picks(node) if isinstance(node.type, tuple) else [node]
            verify(Graph(inputs, outputs))


def test_an_input_from_elsewhere():
    a, stranger = x(), x()
    graph = Graph([a], [elementwise.add(a, elementwise.exp(stranger))])
    assert fault(graph) == (
        "[verify] an input is not among the graph's inputs. "
        "Got: %1 = input(type=float32[3]) : float32[3]."
    )
    assert "not among" in fault(Graph([a], [stranger]))


def test_an_input_named_twice():
    a = x()
    assert fault(Graph([a, a], [a])).startswith("[verify] an input is named twice.")


def test_an_input_that_is_computed():
    a = x()
    b = elementwise.exp(a)
    assert "is not of the primitive 'input'" in fault(Graph([b], [elementwise.exp(b)]))


def test_a_node_that_needs_itself():
    a = x()
    node = elementwise.exp(elementwise.sin(a))
    node.operands[0].operands = (node,)
    assert "a node needs itself" in fault(Graph([a], [node]))


@pytest.mark.parametrize("type", [TensorType((4,), float32), TensorType((3,), float64)])
def test_a_type_that_is_not_the_inferred_one(type):
    a = x()
    wrong = made(elementwise.EXP, elementwise.sin(a), type=type)
    assert fault(Graph([a], [elementwise.exp(wrong)])) == (
        "[verify] the recorded type differs from the inferred one. "
        f"Got: %2 = exp(%1) : {type!r}; inferred float32[3]."
    )


def test_a_shape_that_is_not_the_types():
    a = x()
    node = elementwise.exp(a)
    node.shape = (4,)
    assert "shape and dtype are not those of the type" in fault(Graph([a], [node]))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_operands(count):
    a = x()
    message = fault(Graph([a], [made(elementwise.ADD, *[a] * count)]))
    assert message.startswith(
        "[verify] the primitive refuses its operands. Got: %1 = add("
    )
    assert "TypeError" in message


def test_operands_that_are_refused():
    a, b = x(), make_input((4,), float32)
    message = fault(Graph([a, b], [made(elementwise.ADD, a, b)]))
    assert message == (
        "[verify] the primitive refuses its operands. "
        "Got: %2 = add(%0, %1) : float32[3]; "
        "[add] operands differ in shape. Got: (3,) and (4,)."
    )


def test_an_attribute_that_is_missing_or_too_much():
    a = x()
    assert "refuses" in fault(Graph([a], [made(movement.RESHAPE, a)]))
    assert "refuses" in fault(Graph([a], [made(elementwise.EXP, a, axis=0)]))


def test_an_attribute_that_cannot_be_hashed():
    a = x()
    assert fault(Graph([a], [made(HOLD, a, axes=[0], size=3)])) == (
        "[verify] the attribute axes cannot be hashed. "
        "Got: %1 = hold(%0, axes=<list>, size=3) : float32[3]."
    )


def test_several_results_that_are_not_picked():
    a = x()
    both = apply(HALVES, a)
    assert "is not picked" in fault(Graph([a], [made(elementwise.EXP, both)]))
    assert "an output has several results" in fault(Graph([a], [both]))


@pytest.mark.parametrize("index", [2, -1, None, True])
def test_a_pick_of_what_is_not_there(index):
    a = x()
    node = made(PICK, apply(HALVES, a), index=index)
    assert "the result picked is not there" in fault(Graph([a], [node]))
    assert "the result picked is not there" in fault(
        Graph([a], [made(PICK, a, index=0)])
    )


def test_a_pick_of_another_type():
    a = x()
    node = made(PICK, apply(HALVES, a), type=TensorType((), float32), index=0)
    assert "differs from the inferred one" in fault(Graph([a], [node]))


def test_something_that_is_no_node():
    a = x()
    assert "something else than a node. Got: int." in fault(Graph([a], [3]))
    assert "something else" in fault(Graph([a], [made(elementwise.EXP, None)]))


def test_a_fault_in_a_graph_in_an_attribute():
    a, b, inner = x(), x(), x()
    bad = Graph([inner], [elementwise.add(inner, b)])
    good = Graph([inner], [elementwise.exp(inner)])
    verify(Graph([a], [apply(HOLD, a, bodies=(good, (good,)))]))
    assert "not among" in fault(Graph([a], [apply(HOLD, a, body=bad)]))
    assert "not among" in fault(
        Graph([a], [apply(HOLD, a, bodies=(good, (1, (bad,))))])
    )


def test_graphs_nested_too_deep():
    graph = Graph([], [])
    for _ in range(MAX_NESTING + 2):
        a = x()
        graph = Graph([a], [apply(HOLD, a, body=graph)])
    assert "graphs in one another" in fault(graph)


def test_the_users_line_is_told():
    a = x()
    node = elementwise.exp(a)
    node.type = TensorType((5,), float32)
    with pytest.raises(GraphError) as caught:
        verify(Graph([a], [node]))
    assert caught.value.where == node.where
    assert "test_verify.py" in str(caught.value)


def test_deep_graphs_need_no_recursion():
    a = node = make_input((), float32)
    for _ in range(50_000):
        node = made(elementwise.EXP, node, type=node.type)
    verify(Graph([a], [node]))


def test_picks_of_one_result_are_both_good():
    a = x()
    both = apply(HALVES, a)
    verify(Graph([a], [pick(both, 0), pick(both, 0)]))
