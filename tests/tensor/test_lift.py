"""How calls are bound to the parameters of ops, and how ops show their signatures."""

import inspect

import numpy as np
import pytest

import plait
from plait.errors import ArgumentTypeError
from plait.tensor import trie

SUM = (
    "sum(x: 'Tensor', axis: 'Axes' = None, *, dtype: 'DType | None' = None, "
    "keepdims: 'bool' = False)"
)
ADD = "add(x: 'Tensor | float', y: 'Tensor | float')"


def x():
    return plait.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


FAULTS = {
    "unknown": (
        lambda: plait.sum(x(), foo=1),
        f"[sum] there is no argument 'foo'. Expected: {SUM}.",
    ),
    "unknown of two": (
        lambda: plait.add(x(), z=x()),
        f"[add] there is no argument 'z'. Expected: {ADD}.",
    ),
    "unknown of many": (
        lambda: plait.meshgrid(x(), foo=1),
        "[meshgrid] there is no argument 'foo'. Expected: "
        "meshgrid(*arrays: 'Tensor', indexing: 'str' = 'xy').",
    ),
    "missing": (
        lambda: plait.sum(),
        f"[sum] an argument is missing. Got: no x. Expected: {SUM}.",
    ),
    "missing of two": (
        lambda: plait.add(x()),
        f"[add] an argument is missing. Got: no y. Expected: {ADD}.",
    ),
    "both missing": (
        lambda: plait.add(),
        f"[add] an argument is missing. Got: no x and no y. Expected: {ADD}.",
    ),
    "missing of one": (
        lambda: plait.sin(),
        "[sin] an argument is missing. Got: no x. Expected: sin(x: 'Tensor | float').",
    ),
    "twice": (
        lambda: plait.sum(x(), x=x()),
        f"[sum] the argument 'x' is given twice. Expected: {SUM}.",
    ),
    "twice by a synonym": (
        lambda: plait.sum(x(), dim=0, axis=1),
        f"[sum] the argument 'axis' is given twice. Expected: {SUM}.",
    ),
    "too many": (
        lambda: plait.sum(x(), 0, 1),
        f"[sum] too many positional arguments. Got: 3. Expected: {SUM}.",
    ),
    "too many of one": (
        lambda: plait.sin(x(), x()),
        "[sin] too many positional arguments. Got: 2. Expected: "
        "sin(x: 'Tensor | float').",
    ),
    "too many of two": (
        lambda: plait.add(x(), x(), x()),
        f"[add] too many positional arguments. Got: 3. Expected: {ADD}.",
    ),
    "no sequence": (
        lambda: plait.concat(x()),
        "[concat] tensors must be a list or tuple of tensors. Got: a Tensor.",
    ),
    "no plain value": (
        lambda: plait.sum(x(), axis={}),
        f"[sum] axis must be a plain value. Got: a dict. Expected: {SUM}.",
    ),
    "a tensor of several elements": (
        lambda: plait.sum(x(), axis=x()),
        f"[sum] axis must be a plain value. Got: a Tensor. Expected: {SUM}.",
    ),
    "no integer": (
        lambda: plait.sum(x(), axis=1.5),
        "[sum] axis must be an integer. Got: 1.5.",
    ),
    "no operand": (
        lambda: plait.add("a", x()),
        "an operand is neither a tensor nor a number. Got: a str. "
        "Fix: convert it with plait.asarray.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_word_for_word(name):
    call, message = FAULTS[name]
    for _ in range(2):  # the second time other tables are warm
        with pytest.raises(ArgumentTypeError) as caught:
            call()
        assert caught.value.message == message
        assert caught.value.where.startswith(__file__)


def test_a_fault_is_a_type_error():
    with pytest.raises(TypeError):
        plait.sum(x(), foo=1)


def same(a, b):
    assert a.shape == b.shape
    assert a.dtype is b.dtype
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_synonyms():
    a = x()
    same(plait.sum(a, dim=0, keepdim=True), plait.sum(a, axis=0, keepdims=True))
    same(a.mean(dim=1), a.mean(axis=1))
    same(plait.softmax(a, dim=0), plait.softmax(a, axis=0))
    same(plait.concat([a, a], dim=1), plait.concat([a, a], axis=1))
    same(a.max(dim=(0, 1), keepdim=True), a.max(axis=(0, 1), keepdims=True))


@pytest.mark.parametrize(
    "axis",
    [
        [0, 1],
        (0, 1),
        [np.int64(0), np.int32(1)],
        (np.uint8(0), 1),
        [plait.tensor(0), plait.tensor(1)],
        [np.array(0), 1],
        (-1, -2),
    ],
)
def test_static_sequences(axis):
    same(plait.sum(x(), axis=axis), plait.sum(x()))


@pytest.mark.parametrize("axis", [1, np.int64(1), np.array(1), plait.tensor(1), True])
def test_static_integers(axis):
    if axis is True:
        axis = np.int8(1)
    same(plait.sum(x(), axis=axis), plait.sum(x(), axis=1))
    same(plait.sum(x(), axis), plait.sum(x(), axis=1))


def test_a_static_list_that_changes():
    shape = [3, 2]
    assert plait.reshape(x(), shape).shape == (3, 2)
    shape[:] = [6, 1]
    assert plait.reshape(x(), shape).shape == (6, 1)


def test_dtypes_in_any_spelling():
    for dtype in (plait.float64, "float64", np.float64, np.dtype("float64")):
        assert plait.sum(x(), dtype=dtype).dtype is plait.float64


def test_positional_and_named_are_one():
    a = x()
    same(plait.sum(x=a), plait.sum(a))
    same(plait.add(y=a, x=1.0), plait.add(1.0, a))
    same(plait.clip(a, 2.0, 4.0), plait.clip(a, max=4.0, min=2.0))
    same(plait.clip(a, None, 4.0), plait.clip(a, max=4.0))
    same(plait.clip(a, plait.tensor(2.0)), plait.clip(a, 2.0))
    same(plait.where(a > 2, a, 0.0), plait.where(condition=a > 2, y=0.0, x=a))


def test_operands_of_every_kind():
    a = x()
    same(a + np.float32(1), a + 1.0)
    same(a + np.ones(3, np.float32), a + plait.ones(3))
    same(1 - a, plait.subtract(1, a))
    assert (a + True).dtype is plait.float32
    with pytest.raises(TypeError):
        a + "a"
    with pytest.raises(TypeError):
        object() * a


def test_the_kind_of_a_number_is_part_of_the_step():
    a = plait.tensor([1, 2])
    for _ in range(2):
        assert (a * 2).dtype is plait.int64
        assert (a * 2.0).dtype is plait.float32
        assert (a * True).dtype is plait.int64


def test_static_values_that_are_equal_but_differ():
    a = x()
    for _ in range(2):
        assert plait.sum(a, axis=0, keepdims=False).shape == (3,)
        assert plait.sum(a, axis=0, keepdims=True).shape == (1, 3)


def test_another_spelling_finds_the_step_again():
    def once():
        a = x()
        results = [plait.sum(a, axis=0), plait.sum(a, 0), a.sum(axis=[0]), a.sum(dim=0)]
        return [one.numpy() for one in results]

    once()
    once()
    before = trie.roots.count
    once()
    assert trie.roots.count == before


def test_numbers_alone_are_operands():
    assert plait.add(1, 2).item() == 3
    assert plait.sin(0.0).item() == 0.0


def test_signatures_speak_of_tensors():
    seen = 0
    for name in plait.__all__:
        function = getattr(plait, name, None)
        if not hasattr(function, "spec"):
            continue
        seen += 1
        text = str(inspect.signature(function))
        assert "Node" not in text, name
        assert "Operand" not in text, name
        assert "Tensor" in text, name
        assert function.__name__ == name
        assert function.__module__ == "plait"
        assert function.__doc__
    assert seen > 100
    assert str(inspect.signature(plait.add)) == f"{ADD[3:]} -> 'Tensor'"


@pytest.mark.parametrize("name", ["eigh", "slogdet"])
def test_an_op_of_one_tensor_with_several_results_is_recorded_again(name):
    x = plait.asarray(np.eye(3))
    for _ in range(3):
        first, second = getattr(plait.linalg, name)(x + 1.0)
        assert isinstance(first, plait.Tensor)
        assert np.isfinite(second.numpy()).all()
