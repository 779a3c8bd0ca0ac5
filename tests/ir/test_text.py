"""Graphs as text: what is printed is read back as the same graph."""

import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.dtypes import (
    ALL,
    as_dtype,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint8,
)
from plait.errors import GraphError
from plait.ir.build import apply, flows, make_input, pick, picks
from plait.ir.graph import Graph, Literal, Node, TensorType, topological_order
from plait.ir.primitive import Primitive
from plait.ir.text import MAX_NESTING, from_text, to_text
from plait.ir.verify import verify
from plait.ops import PRIMITIVES, contract, elementwise, movement, reduce, source
from plait.transform.differentiate import pull_back

# Primitives that only these tests have: two results, one result, and any attribute.
HALVES = Primitive(
    "halves",
    infer=lambda x, *, shift=0: (x, TensorType(x.shape, int64)),
    reference=lambda x, *, shift=0: (x / 2, np.zeros(x.shape, np.int64)),
)
ONLY = Primitive("only", infer=lambda x: (x,), reference=lambda x: (x,))
HOLD = Primitive("hold", infer=lambda x, **_: x, reference=lambda x, **_: x)
KNOWN = (*PRIMITIVES, HALVES, ONLY, HOLD)


def hold(**attributes):
    x = make_input((), float32)
    return Graph([x], [apply(HOLD, x, **attributes)])


def attribute(value):
    """Return `value` after it was printed and read."""
    graph = from_text(to_text(hold(value=value)), KNOWN)
    return graph.outputs[0].attributes["value"]


def same_bits(a, b):
    """Return whether two attribute values are equal to the last bit and in type."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, Graph):
        return same_graph(a, b)
    return a == b


def same_graph(a, b):
    """Return whether two graphs have the same structure, types and attributes."""
    if len(a.inputs) != len(b.inputs) or len(a.outputs) != len(b.outputs):
        return False
    pair = dict(zip(a.inputs, b.inputs, strict=True))
    orders = topological_order(a.outputs), topological_order(b.outputs)
    if len(orders[0]) != len(orders[1]):
        return False
    for x, y in zip(*orders, strict=True):
        pair.setdefault(x, y)
        if (
            pair[x] is not y
            or x.primitive is not y.primitive
            or (x.type, x.weak, x.differentiable) != (y.type, y.weak, y.differentiable)
            or [pair[z] for z in x.operands] != list(y.operands)
            or x.attributes.keys() != y.attributes.keys()
            or not all(
                same_bits(x.attributes[k], y.attributes[k]) for k in x.attributes
            )
        ):
            return False
    return [pair[x] for x in a.outputs] == list(b.outputs)


def check_round_trip(graph):
    text = to_text(graph)
    back = from_text(text, KNOWN)
    verify(back)
    assert to_text(back) == text
    assert same_graph(graph, back)
    return text


# --- whole graphs


def example():
    x = make_input((3, 4), float32, differentiable=True)
    factor = make_input((), float32, weak=True)
    y = elementwise.multiply(elementwise.exp(x), factor)
    z = reduce.logsumexp(y, axis=1)
    shifted = elementwise.add(z, source.constant([1.5, -0.0, math.nan], bfloat16))
    padded = movement.pad_constant(shifted, ((1, 2),), -0.0)
    return Graph([x, factor], [padded, z, source.iota(3, uint8), x])


def test_a_graph_comes_back():
    check_round_trip(example())


def test_the_print_is_stable(golden):
    golden("graph/example", to_text(example()))


def test_a_loss_and_its_gradient(golden):
    x = make_input((2, 3), float32)
    weight = make_input((4, 3), float32, differentiable=True)
    bias = make_input((4,), float32, differentiable=True)
    hidden = elementwise.maximum(contract.linear(x, weight, bias), 0)
    loss = reduce.mean(hidden)
    one = source.constant(1.0, float32)
    gradient = pull_back([loss], [one], [weight, bias])
    text = check_round_trip(Graph([x, weight, bias], [loss, *gradient]))
    golden("graph/gradient", text)


def test_an_empty_graph_and_an_input_as_output():
    check_round_trip(Graph([], []))
    x = make_input((), int32)
    text = check_round_trip(Graph([x], [x, x]))
    assert text == "graph(%0: int32[]) {\n  return %0, %0\n}\n"


def test_many_inputs_take_a_line_each():
    inputs = [make_input((i, 10), float32) for i in range(9)]
    text = check_round_trip(Graph(inputs, inputs[:1]))
    assert text.splitlines()[1] == "    %0: float32[0, 10],"


def test_every_sample_of_every_primitive_comes_back():
    for primitive in PRIMITIVES:
        for sample in primitive.samples():
            inputs = [
                make_input(x.shape, as_dtype(x.dtype))
                for x in map(np.asarray, sample.operands)
            ]
            node = apply(primitive, *inputs, **sample.attributes)
            outputs = picks(node) if isinstance(node.type, tuple) else [node]
            check_round_trip(Graph(inputs, outputs))


def test_several_results_are_named_where_they_are_made():
    x = make_input((2,), float32, differentiable=True)
    node = apply(HALVES, x, shift=1)
    first, second = picks(node)
    total = elementwise.add(first, second)
    text = check_round_trip(Graph([x], [total]))
    assert "%1, %2 = halves(%0, shift=1) : float32[2], int64[2]\n" in text
    text = check_round_trip(Graph([x], [second]))
    assert "_, %1 = halves(%0, shift=1) : float32[2], int64[2]\n" in text
    (only,) = picks(apply(ONLY, x))
    check_round_trip(Graph([x], [only]))


def test_two_picks_of_one_result_are_one_name():
    x = make_input((2,), float32)
    node = apply(HALVES, x)
    graph = Graph([x], [elementwise.add(pick(node, 0), pick(node, 0))])
    text = to_text(graph)
    assert "add(%1, %1)" in text
    assert to_text(from_text(text, KNOWN)) == text


def test_graphs_in_attributes_have_names_of_their_own(golden):
    a, b = make_input((2,), float32, differentiable=True), make_input((2,), float32)
    inner = Graph([a], [apply(HOLD, a, body=Graph([b], [elementwise.exp(b)]))])
    x = make_input((3,), float32)
    outer = Graph([x], [apply(HOLD, x, bodies=(inner, inner), length=3)])
    golden("graph/nested", check_round_trip(outer))


def test_weak_nodes_keep_their_mark():
    x = make_input((), float32, weak=True)
    node = elementwise.exp(elementwise.cast(x, float64))
    kept = Node(node.primitive, node.operands, {}, node.type, False, weak=True)
    assert " : float64[] weak" in check_round_trip(Graph([x], [kept]))


def test_where_is_a_comment():
    graph = example()
    text = to_text(graph, show_where=True)
    assert "# " + __file__ in text
    assert to_text(from_text(text, KNOWN)) == to_text(graph)


def test_deep_graphs_need_no_recursion():
    x = node = make_input((), float32)
    for _ in range(20_000):
        node = Node(elementwise.EXP, (node,), {}, node.type, False)
    text = to_text(Graph([x], [node]))
    assert to_text(from_text(text, KNOWN)) == text


def test_faulty_graphs_are_printed_all_the_same():
    x, stranger = make_input((2,), float32), make_input((2,), float32)
    multiple = apply(HALVES, x)
    bad = Node(elementwise.ADD, (stranger, multiple), {"a": {1}}, x.type, False)
    lost = Node(pick(multiple, 0).primitive, (multiple,), {"index": 7}, x.type, False)
    text = to_text(Graph([x, x], [bad, lost, pick(multiple, 1), multiple]))
    assert "add(%1, (_, %2), a=<set>)" in text
    with pytest.raises(GraphError):
        from_text(text, KNOWN)


# --- attributes

SPECIAL = [
    0, -1, 2**64, -(10**500), True, False, None, 0.0, -0.0, 1.0, 1e-320, math.inf,
    -math.inf, math.nan, 0.1, 1e22, "", 'a "b"\n\\ é \ud800 # %0', float32, bool_,
    TensorType((), int32), TensorType((0, 3), bool_), (), (1,), (1, 1.0, True),
    ((), ((),)), (None, "x", float16),
]  # fmt: skip


@pytest.mark.parametrize("value", SPECIAL, ids=repr)
def test_an_attribute_comes_back(value):
    assert same_bits(attribute(value), value)


@pytest.mark.parametrize("value", [10**700, {1: 2}, object(), np.int64(3)])
def test_other_attributes_do_not_parse(value):
    with pytest.raises(GraphError):
        attribute(value)


@given(
    st.recursive(
        st.one_of(
            st.integers(), st.floats(), st.text(), st.booleans(), st.none(),
            st.sampled_from(ALL),
        ),
        lambda inner: st.lists(inner, max_size=3).map(tuple),
        max_leaves=6,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_attribute_comes_back(value):
    assert same_bits(attribute(value), value)


def test_attributes_are_printed_in_one_order():
    assert to_text(hold(a=1, b=2)) == to_text(hold(b=2, a=1))


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "shape", [(), (0,), (0, 3), (2, 0), (7,), (2, 3), (2, 1, 3), (5, 9)]
)
def test_arrays_of_any_bits_come_back(dtype, shape):
    rng = np.random.default_rng(3)
    for trial in range(5):
        size = math.prod(shape)
        bits = rng.integers(0, 256, size * dtype.itemsize, np.uint8)
        if dtype is bool_:
            bits &= 1
        array = bits.view(dtype.numpy).reshape(shape)
        if trial and dtype is not bool_:  # also numbers that people write
            with np.errstate(all="ignore"):
                array = rng.integers(-9, 9, shape).astype(
                    dtype.numpy
                ) / dtype.numpy.type(1)
                array = array.astype(dtype.numpy)
        back = attribute(Literal(array)).array
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tobytes() == array.tobytes()


def test_small_arrays_can_be_read():
    array = np.array([[0.1, -0.0], [np.inf, np.nan]], np.float32)
    assert "value=float32[2, 2] [[0.1, -0.0], [inf, nan]])" in to_text(
        hold(value=Literal(array))
    )
    assert "value=int32[] -5)" in to_text(hold(value=Literal(np.array(-5, np.int32))))
    assert "value=bool[1] [True])" in to_text(hold(value=Literal(np.array([True]))))
    assert 'base64 "' in to_text(hold(value=Literal(np.zeros(33))))


def test_a_bool_size_does_not_change_how_types_print():
    text = "graph(%0: float32[1, 7]) {\n  %1 = reshape(%0, shape=(True, 7, 1)) : X\n"
    with pytest.raises(GraphError):
        from_text(text, KNOWN)
    assert repr(TensorType((1, 7, 1), float32)) == "float32[1, 7, 1]"


# --- text that is not a graph

GOOD = """graph(%0: float32[2], %1: float32[] weak) {
  %2 = exp(%0) : float32[2]
  return %2
}
"""

BAD = {
    "": "line 1, column 1: expected 'graph'. Got: the end of the text.",
    "graph": "line 1, column 6: expected '('. Got: the end of the text.",
    "graph(": "line 1, column 7: expected the name of an input, such as %0. "
    "Got: the end of the text.",
    "graph($": "line 1, column 7: this character cannot stand here. Got: '$'.",
    "graph(%0: f[])": "line 1, column 11: expected an element type, such as float32. "
    "Got: 'f'.",
    "graph(%0: bool[-1])": "line 1, column 16: not the size of an axis. Got: -1.",
    "graph(%0: bool[1.5])": "line 1, column 16: not the size of an axis. Got: 1.5.",
    "graph(%0: bool[], %0: bool[])": "line 1, column 19: %0 is defined twice. Got: %0.",
    GOOD + "x": "line 5, column 1: expected the end of the text. Got: 'x'.",
    GOOD.replace(
        "(%0)", "(%7)"
    ): "line 2, column 12: %7 is not defined before its use. Got: %7.",
    GOOD.replace(
        "(%0)", "(%2)"
    ): "line 2, column 12: %2 is not defined before its use. Got: %2.",
    GOOD.replace("exp", "eval"): "line 2, column 8: there is no primitive 'eval' to "
    "apply. Got: eval.",
    GOOD.replace("exp", "input"): "line 2, column 8: there is no primitive 'input' to "
    "apply. Got: input.",
    GOOD.replace("(%0)", "(%0, %0)"): None,
    GOOD.replace("(%0)", "(%0, a=1)"): None,
    GOOD.replace(
        "(%0)", "(%1)"
    ): "line 2, column 8: exp does not give the type that is "
    "stated. Got: float32[2]. Expected: float32[].",
    GOOD.replace("%2 =", "%2, %3 ="): "line 2, column 12: exp has another number of "
    "results. Got: 2 names. Expected: 1.",
    GOOD.replace("%2 =", "%0 ="): "line 2, column 3: %0 is defined twice. Got: %0.",
    GOOD.replace("weak", "weak weak"): None,
    GOOD.replace("return %2", "return %2, %9"): "line 3, column 14: %9 is not defined "
    "before its use. Got: %9.",
    GOOD.replace("return %2", "return"): "",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_the_place_of_a_mistake_is_told(text):
    if BAD[text] == "":
        from_text(text, KNOWN)
        return
    with pytest.raises(GraphError) as caught:
        from_text(text, KNOWN)
    if BAD[text] is not None:
        assert caught.value.message == "[from_text] " + BAD[text]


@pytest.mark.parametrize(
    "value",
    [
        "(1)", "(1 2)", "(,)", "(1,,)", "graph", "graph()", "float32[",
        "float32[1] [1]",
        "float32[1] []", "float32[1] [1.0, 2.0]", "float32[2] [1.0]", "int8[] 128",
        "int8[] 1.0", "uint8[] -1", "bool[] 1", "bool[] nan", "float32[] True",
        "int8[] inf",
        'float32[2] base64 "AAAA"', 'float32[] base64 "AA=A"', 'bool[] base64 "Ag=="',
        'float32[] base64 "é"', "float32[] base64 x", '"\\x"', '"\t"', '"open', "'a'",
        "--1", "1e", "+1", ".5", "0x10", "1_000", "infinity", "%0", "<set>",
        "[1]", "{}",
        "9" * 700, "1." + "9" * 700, "float32[" + "1, " * 70 + "1]",
        f"float32[0, {2**62}] []", f'int8[0, {2**62}, 9] base64 ""',
        f"int8[{2**62}] [1]",
        f'float64[{2**62}] base64 "AAAA"',
    ],
)  # fmt: skip
def test_a_malformed_value_is_refused(value):
    text = (
        f"graph(%0: float32[]) {{ %1 = hold(%0, value={value}) : float32[] return %1 }}"
    )
    with pytest.raises(GraphError, match=r"line 1, column \d+: "):
        from_text(text, KNOWN)


@pytest.mark.parametrize("opening", ["(", "graph() {%0 = hold(value=", "((1,),"])
def test_hostile_nesting_is_refused(opening):
    head = "graph(%0: float32[]) { %1 = hold(%0, value="
    with pytest.raises(GraphError, match=f"more than {MAX_NESTING} levels of nesting"):
        from_text(head + opening * 100_000, KNOWN)


def test_graphs_nested_too_deep_are_not_printed():
    graph = Graph([], [])
    for _ in range(MAX_NESTING + 2):
        x = make_input((), float32)
        graph = Graph([x], [apply(HOLD, x, body=graph)])
    with pytest.raises(GraphError, match="graphs in one another"):
        to_text(graph)


def test_only_text_is_read():
    with pytest.raises(GraphError, match="not a text"):
        from_text(b"graph() {}", KNOWN)


TEXTS = [
    GOOD,
    to_text(example()),
    to_text(hold(value=tuple(SPECIAL))),
    to_text(hold(body=example(), array=Literal(np.arange(40.0)))),
    to_text(hold(array=Literal(np.eye(3, dtype=np.int8)))),
]
PIECES = st.sampled_from(
    [
        *'()[]{},:=%"#_\\\n', " ", "%0", "%1", "%2", "graph", "return", "exp", "add",
        "float32", "float32[2]", "bool[]", "base64", "-", "nan", "inf", "True", "1",
        "-7",
        "1e999", "9999999999999999999999", "2.5", '"x"', "axes=(0,)", "shape=(2,)",
        "weak",
        "permute(%0, axes=(0.5,))", "slice(%0, starts=None)",
        "iota(size=-1, dtype=bool)",
        "\x00", "é",
    ]
)  # fmt: skip


@st.composite
def mutated(draw):
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20, len(text)]))
        piece = draw(st.one_of(PIECES, st.just(""), st.text(max_size=3)))
        text = text[:at] + piece + text[end:]
    return text


@given(st.one_of(mutated(), st.text(max_size=30)))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_text_gives_a_graph_error_or_a_graph(text):
    try:
        graph = from_text(text, KNOWN)
    except GraphError as error:
        assert "line " in error.what  # noqa: PT017
    else:
        again = to_text(graph)
        assert to_text(from_text(again, KNOWN)) == again


@pytest.mark.parametrize("text", TEXTS[:2], ids=["good", "example"])
def test_every_prefix_gives_a_graph_error(text):
    for end in range(len(text.rstrip())):
        with pytest.raises(GraphError):
            from_text(text[:end], KNOWN)


def test_flows_is_what_the_reader_uses():
    # The reader derives whether a node is differentiable as `apply` does.
    x = make_input((2,), float32, differentiable=True)
    graph = Graph([x], [source.stop_gradient(x), elementwise.exp(x)])
    back = from_text(to_text(graph), KNOWN)
    assert [node.differentiable for node in back.outputs] == [False, True]
    assert flows(elementwise.EXP, x.type, [x])
