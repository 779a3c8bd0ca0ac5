"""The face of a tensor: conversions, operators, in-place, shapes, copies, exchange."""

import copy
import operator
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import plait
from plait import nn
from plait.dtypes import ALL, FLOATS
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    AxisError,
    DeviceError,
    DTypeError,
    GradientError,
    ShapeError,
    TracingError,
)

try:
    import torch
except ImportError:
    torch = None


def shown(value):
    """Return an id without addresses, which differ between processes."""
    return re.sub(r" at 0x\w+", "", repr(value))


by_name = {"ids": lambda dtype: dtype.name}


@pytest.fixture
def x():
    return plait.tensor([[1.0, 2.0], [3.0, 4.0]])


# --- facts and conversions


def test_facts(x):
    y = x + plait.zeros(3, 2, 2)
    assert (y.shape, y.ndim, y.dim(), y.size, y.numel()) == ((3, 2, 2), 3, 3, 12, 12)
    assert (y.itemsize, y.nbytes, len(y)) == (4, 48, 3)
    assert y.device == "cpu"
    assert hash(y) != hash(x)
    assert len({x, y, x}) == 2


def test_numpy_is_read_only_and_no_copy(x):
    for y in (x, x * 1, x.T):
        array = y.numpy()
        assert np.shares_memory(array, y.numpy())
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 5


def test_array_protocol(x):
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.shares_memory(np.asarray(x, copy=False), x.numpy())
    own = np.array(x)
    own[0, 0] = 7
    assert x[0, 0].item() == 1
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.asarray(x, dtype=np.float32, copy=False).dtype == np.float32
    with pytest.raises(ArgumentError, match="needs a copy"):
        np.asarray(x, dtype=np.float64, copy=False)
    np.testing.assert_array_equal([x[0], x[1]], [[1, 2], [3, 4]])


@pytest.mark.parametrize("dtype", ALL, **by_name)
def test_python_numbers(dtype):
    kind = float if dtype.is_float else bool if dtype.kind == "bool" else int
    one = plait.tensor([[1]], dtype=dtype)
    for value in (one.item(), one.tolist()[0][0], one[0, 0].tolist()):
        assert value == 1
        assert type(value) is kind
    assert [f(one) for f in (int, float, bool, complex)] == [1, 1.0, True, 1 + 0j]
    assert [type(f(one)) for f in (int, float, bool)] == [int, float, bool]
    assert not plait.zeros((), dtype=dtype)


def test_conversions_of_several_elements_fail(x):
    for convert in (int, float, bool, complex, lambda x: x.item()):
        for bad in (x, plait.zeros(0)):
            with pytest.raises(ShapeError, match=r"Got: shape \("):
                convert(bad)
    assert int(plait.tensor(-3.7)) == -3
    with pytest.raises(OverflowError):
        int(plait.tensor(float("inf")))


def test_an_index():
    letters = "abc"
    for dtype in ("int8", "uint64", "int64"):
        assert letters[plait.tensor(1, dtype=dtype)] == "b"
    assert list(range(plait.tensor(2))) == [0, 1]
    for bad in (plait.tensor(1.0), plait.tensor(True), plait.tensor([1])):
        with pytest.raises(ArgumentTypeError, match="can be an index"):
            letters[bad]


def test_iteration_length_and_contains(x):
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    a, b = x
    assert (a + b).tolist() == [4, 6]
    assert list(plait.zeros(0, 2)) == []
    assert 2 in x
    assert 2.5 not in x
    for use in (len, iter, list):
        with pytest.raises(TypeError, match="scalar"):
            use(plait.tensor(1))


def test_repr_and_format(x):
    assert repr(x) == (
        "tensor([[1., 2.],\n        [3., 4.]], shape=(2, 2), dtype=float32)"
    )
    assert str(plait.tensor(3)) == "tensor(3, shape=(), dtype=int64)"
    half = plait.ones(1, dtype="bfloat16")
    assert repr(half) == "tensor([1.], shape=(1,), dtype=bfloat16)"
    assert repr(half.requires_grad_()).endswith("requires_grad=True)")
    assert repr(nn.Parameter(half)).startswith("Parameter containing:\ntensor([1.]")
    assert f"{x.mean():.2f} {plait.tensor([3]):03d} {plait.tensor(True)}" == (
        "2.50 003 tensor(True, shape=(), dtype=bool)"
    )
    assert f"{x}" == f"{x:.2f}" == repr(x)
    seen = []
    plait.jit(lambda x: (seen.append(repr(x)), x)[1])(x)
    assert seen == ["tensor(<not computed>, shape=(2, 2), dtype=float32)"]


def test_values_of_what_is_only_recorded(x):
    looks = [
        lambda x: x.numpy(), lambda x: x.tolist(), np.asarray, pickle.dumps,
        copy.deepcopy, lambda x: bool(x.any()), lambda x: x.sum().item(),
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(TracingError):
            plait.jit(lambda x, look=look: (look(x), x)[1])(x)


# --- operators

ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv,
    operator.mod, operator.pow, operator.eq, operator.ne, operator.lt, operator.le,
    operator.gt, operator.ge,
]  # fmt: skip
BITWISE = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
name_of = {"ids": lambda f: f.__name__}


@pytest.mark.parametrize("op", ARITHMETIC, **name_of)
def test_operators_on_both_sides(op):
    a, b = np.array([[1.5, -2.0], [3.0, 4.0]]), np.array([2.0, 3.0])
    x, y = plait.asarray(a), plait.asarray(b)
    for left, right, expected in (
        (x, y, op(a, b)), (x, b, op(a, b)), (a, y, op(a, b)), (x, 2, op(a, 2)),
        (x, 2.0, op(a, 2)), (2.0, y, op(2.0, b)), (3, y, op(3, b)),
        (x, np.float64(2), op(a, 2)), (np.float64(2), y, op(2, b)),
        (x, np.array(2.0), op(a, 2)), (x, True, op(a, 1.0)),
    ):  # fmt: skip
        found = op(left, right)
        assert isinstance(found, plait.Tensor)
        assert found.dtype.numpy == expected.dtype
        np.testing.assert_allclose(found.numpy(), expected)


@pytest.mark.parametrize("op", BITWISE, **name_of)
def test_bitwise_operators_on_both_sides(op):
    a, b = np.array([5, 6, 7]), np.array([1, 2, 3])
    x, y = plait.asarray(a), plait.asarray(b)
    for left, right, expected in (
        (x, y, op(a, b)), (x, b, op(a, b)), (a, y, op(a, b)), (x, 2, op(a, 2)),
        (9, y, op(9, b)), (x, np.int64(1), op(a, 1)),
    ):  # fmt: skip
        found = op(left, right)
        assert isinstance(found, plait.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected)


def test_matmul_and_unary_operators(x):
    a = x.numpy()
    for found in (x @ x, x @ a, a @ x):
        np.testing.assert_array_equal(found.numpy(), a @ a)
    assert (-x).tolist() == (-a).tolist()
    assert (+x).tolist() == abs(-x).tolist() == x.tolist()
    assert (~plait.tensor([1, 0])).tolist() == [-2, -1]
    assert (~plait.tensor([True, False])).tolist() == [False, True]
    assert [(x**n).tolist() for n in (1, 2, 3)] == [(a**n).tolist() for n in (1, 2, 3)]


@pytest.mark.parametrize("other", ["a", None, [1, 2], 1j, object(), {}], ids=shown)
def test_what_is_no_operand(x, other):
    for op in (operator.add, operator.mul, operator.lt, operator.matmul, operator.and_):
        with pytest.raises(TypeError):
            op(x, other)
        with pytest.raises(TypeError):
            op(other, x)
    with pytest.raises(TypeError):
        x += other
    with pytest.raises(TypeError):
        x **= other
    with pytest.raises(TypeError) as caught:
        x**other
    assert not isinstance(caught.value, ArgumentTypeError)  # Python's own
    assert other not in x
    assert (x == other) is False
    assert (x != other) is True


def test_another_class_may_answer(x):
    class Other:
        def __radd__(self, left):
            return "added"

        def __eq__(self, other):
            return "equal"

    assert x + Other() == "added"
    assert (x == Other()) == "equal"


def test_numpy_does_not_take_over(x):
    with pytest.raises(TypeError, match="ufunc"):
        np.add(np.ones(2), x)
    a = np.ones((2, 2))
    with pytest.raises(TypeError, match="ufunc"):
        a += x
    assert a.tolist() == [[1, 1], [1, 1]]


# What a tensor of a dtype and a Python bool, int and float make together.
WEAK = """
bool      -        int64     float32
int8      int8     int8      float32
int16     int16    int16     float32
int32     int32    int32     float32
int64     int64    int64     float32
uint8     uint8    uint8     float32
uint16    uint16   uint16    float32
uint32    uint32   uint32    float32
uint64    uint64   uint64    float32
float16   float16  float16   float16
bfloat16  bfloat16 bfloat16  bfloat16
float32   float32  float32   float32
float64   float64  float64   float64
"""
WEAK_ROWS = {row.split()[0]: row.split()[1:] for row in WEAK.strip().splitlines()}
SCALARS = (st.booleans(), st.integers(0, 100), st.floats(0.5, 100))


@examples(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from(ALL), st.integers(0, 2))
def test_python_scalars_are_weak(data, dtype, kind):
    scalar = data.draw(SCALARS[kind])
    expected = WEAK_ROWS[dtype.name][kind]
    op = data.draw(st.sampled_from([operator.add, operator.mul]))
    swap = data.draw(st.booleans())
    x = plait.ones(2, dtype=dtype)

    def run():
        return op(scalar, x) if swap else op(x, scalar)

    if expected == "-":
        with pytest.raises(DTypeError):
            run()
        return
    found = run()
    assert found.dtype.name == expected
    assert found.numpy().dtype == found.dtype.numpy
    numpy = found.dtype.numpy.type
    with np.errstate(over="ignore"):
        wanted = op(np.ones(2, numpy), np.full(2, scalar, numpy))
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_the_table_of_weak_scalars_names_every_dtype():
    assert set(WEAK_ROWS) == {dtype.name for dtype in ALL}


# --- in place


@pytest.mark.parametrize(
    ("op", "value"),
    [
        (operator.iadd, 2), (operator.isub, 2.0), (operator.imul, [[1.0], [2.0]]),
        (operator.itruediv, 4), (operator.ifloordiv, 2), (operator.imod, 2),
        (operator.ipow, 2), (operator.ipow, 0.5),
        (operator.imatmul, [[0.0, 1.0], [1.0, 0.0]]),
    ],
)  # fmt: skip
def test_in_place_operators_rebind_the_handle(x, op, value):
    a = np.array(x)
    value = np.array(value, np.float32) if isinstance(value, list) else value
    alias, views, copied = x, [x[0], x.T, x.reshape(4), x.detach()], x.clone()
    before = [v.tolist() for v in views]
    x = op(x, value)
    assert x is alias
    np.testing.assert_allclose(x.numpy(), op(a.copy(), value))
    assert [v.tolist() for v in views] == before
    assert copied.tolist() == a.tolist()


@pytest.mark.parametrize(
    "op",
    [
        operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift,
    ],
    **name_of,
)  # fmt: skip
def test_bitwise_in_place(op):
    x = y = plait.tensor([5, 6, 7])
    x = op(x, 3)
    assert x is y
    assert x.tolist() == op(np.array([5, 6, 7]), 3).tolist()


def test_in_place_keeps_shape_and_dtype(x):
    x += plait.ones(2, dtype="float64")
    assert x.dtype is plait.float32
    with pytest.raises(ShapeError, match="in place"):
        x += plait.ones(3, 2, 2)
    n = plait.tensor([4, 5])
    with pytest.raises(DTypeError, match="in place"):
        n += 0.5
    with pytest.raises(DTypeError, match="in place"):
        n /= 2
    n //= 2
    assert (n.dtype, n.tolist()) == (plait.int64, [2, 2])
    assert x.tolist() == [[2, 3], [4, 5]]


def test_fill_copy_and_zero(x):
    same, view = x, x[0]
    assert x.copy_([[5], [6]]) is same
    assert same.tolist() == [[5, 5], [6, 6]]
    assert x.copy_(plait.tensor([1, 2])).tolist() == [[1, 2], [1, 2]]
    assert x.fill_(3).tolist() == [[3, 3], [3, 3]]
    assert x.zero_().tolist() == [[0, 0], [0, 0]]
    assert x.dtype is plait.float32
    assert view.tolist() == [1, 2]
    a = np.ones((2, 2), np.float32)
    x.copy_(a)
    a[:] = 9
    assert x.sum().item() == 4
    with pytest.raises(ShapeError):
        x.copy_(plait.ones(3))


def test_in_place_is_differentiable():
    w = plait.tensor([2.0, 3.0], requires_grad=True)
    y = w * 1
    y *= w
    y += 1
    y.sum().backward()
    assert w.grad.tolist() == [4, 6]


# --- reductions


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "std", "var"])
def test_synonyms_of_axis_and_keepdims(x, name):
    for axis in (0, -1, (0, 1), None):
        for keep in (False, True):
            expected = getattr(x, name)(axis=axis, keepdims=keep)
            numpys = getattr(np, name)(x.numpy(), axis=axis, keepdims=keep)
            np.testing.assert_allclose(expected.numpy(), numpys, rtol=1e-6)
            for found in (
                getattr(x, name)(dim=axis, keepdim=keep),
                getattr(x, name)(axis, keepdims=keep),
                getattr(plait, name)(x, dim=axis, keepdims=keep),
            ):
                assert found.shape == expected.shape
                assert found.tolist() == expected.tolist()
    with pytest.raises(ArgumentTypeError, match="given twice"):
        getattr(x, name)(dim=0, axis=0)
    with pytest.raises(ArgumentTypeError, match="no argument 'foo'"):
        getattr(x, name)(foo=1)
    for axis in (2, -3, (0, 0)):
        with pytest.raises(AxisError):
            getattr(x, name)(axis)


# --- shapes


def test_shapes(x):
    a = x.numpy()
    for found, expected in (
        (x.reshape(4), a.reshape(4)), (x.reshape((1, -1)), a.reshape(1, -1)),
        (x.view(-1), a.ravel()), (x.reshape(plait.tensor(4)), a.ravel()),
        (x.flatten(), a.ravel()), (x.T, a.T), (x.t(), a.T), (x.mT, a.T),
        (x.permute(1, 0), a.T), (x.permute((1, 0)), a.T), (x.transpose(0, 1), a.T),
        (x.transpose(dim0=0, dim1=1), a.T), (x.unsqueeze(0), a[None]),
        (x.unsqueeze(-1), a[..., None]), (x.unsqueeze(1).squeeze(1), a),
        (x.expand(3, 2, 2), np.broadcast_to(a, (3, 2, 2))),
        (x.expand(3, -1, 2), np.broadcast_to(a, (3, 2, 2))),
        (x[:1].expand((4, -1)), np.broadcast_to(a[:1], (4, 2))),
        (x.repeat(2, 1), np.tile(a, (2, 1))),
        (x.repeat((1, 2, 3)), np.tile(a, (1, 2, 3))),
        (x.contiguous(), a), (x.cpu(), a), (x.clone(), a),
    ):  # fmt: skip
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found.numpy(), expected)


def test_shapes_that_do_not_fit(x):
    for wrong in (
        lambda: x.view(3), lambda: x.reshape(-1, -1), lambda: x.reshape(-1, 3),
        lambda: x.expand(4, 4), lambda: x.expand(2), lambda: x.expand(-1, 2, 2),
        lambda: x.repeat(-1, 1), lambda: plait.zeros(2).T, lambda: plait.zeros(2).mT,
        lambda: x[None].T,
    ):  # fmt: skip
        with pytest.raises(ShapeError):
            wrong()
    for wrong in (
        lambda: x.permute(0, 0), lambda: x.unsqueeze(5), lambda: x.transpose(0, 2)
    ):  # fmt: skip
        with pytest.raises(AxisError):
            wrong()


# --- dtypes and devices


@pytest.mark.parametrize("dtype", ALL, **by_name)
def test_to_a_dtype(x, dtype):
    expected = x.numpy().astype(dtype.numpy)
    other = plait.zeros((), dtype=dtype)
    for found in (
        x.to(dtype), x.to(dtype.name), x.to(dtype=dtype.numpy), x.type_as(other),
        x.to(other), x.to("cpu", dtype), plait.astype(x, dtype),
    ):  # fmt: skip
        assert found.dtype is dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def test_words_for_dtypes_and_devices(x):
    names = ["float", "double", "half", "bfloat16", "int", "long", "bool"]
    found = [getattr(x, name)().dtype.name for name in names]
    assert found == [
        "float32", "float64", "float16", "bfloat16", "int32", "int64", "bool"
    ]  # fmt: skip
    assert plait.tensor([0.0, 0.5, float("nan")]).bool().tolist() == [False, True, True]
    assert x.to() is x.to("cpu") is x.to_device("cpu") is x
    for device in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match="no such device"):
            x.to(device)
    for dtype in ("foo", 3, complex):
        with pytest.raises(DTypeError, match="not an element type"):
            x.to(dtype)


# --- derivatives


def test_detach_clone_and_data():
    w = plait.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    for cut in (w.detach(), w.data, y.detach(), y.data):
        assert not cut.requires_grad
        assert cut.is_leaf
    assert w.clone().requires_grad
    assert not w.clone().is_leaf
    (w.clone() * 3).sum().backward()
    assert w.grad.tolist() == [3, 3]
    cut = w.detach()
    cut += 1
    assert w.tolist() == [1, 2]
    w.data = plait.tensor([5.0, 6.0])
    assert (w.tolist(), w.requires_grad, w.is_leaf) == ([5, 6], True, True)
    assert y.tolist() == [2, 4]
    with pytest.raises(DTypeError, match="floating-point"):
        w.data = plait.tensor([5, 6])
    assert not y.detach_().requires_grad


def test_rules_of_requires_grad():
    w = plait.ones(2, requires_grad=True)
    y = w * 2
    assert (w.is_leaf, y.is_leaf, y.requires_grad) == (True, False, True)
    assert not (w > 1).requires_grad
    assert not w.int().requires_grad
    assert y.requires_grad_() is y
    with plait.no_grad():
        assert not (w * 2).requires_grad
        w += 1
    assert w.requires_grad
    with pytest.raises(GradientError, match="changed in place"):
        w += 1
    w.requires_grad = False
    assert not (w * 2).requires_grad
    w += 1
    assert w.tolist() == [3, 3]
    with pytest.raises(DTypeError, match="floating-point"):
        plait.ones(2, dtype="int8").requires_grad_()
    for dtype in FLOATS:
        assert plait.ones(2, dtype=dtype).requires_grad_().requires_grad


# --- copies


@pytest.mark.parametrize("dtype", ALL, **by_name)
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies(dtype, copied):
    x = plait.ones(2, 3, dtype=dtype)
    x[0] = 0
    y = copied(x)
    assert y is not x
    assert (y.dtype, y.tolist(), y.requires_grad) == (dtype, x.tolist(), False)
    x[0] = 1
    assert not y[0].any()


def test_copies_of_parameters_and_leaves():
    w = plait.ones(2, requires_grad=True)
    w.sum().backward()
    for copied in (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        y = copied(w)
        assert (y.requires_grad, y.is_leaf, y.grad) == (True, True, None)
        assert y.tolist() == w.tolist()
    for copied in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        for wants in (True, False):
            p = copied(nn.Parameter([1.0, 2.0], requires_grad=wants))
            assert type(p) is nn.Parameter
            assert (p.requires_grad, p.tolist()) == (wants, [1, 2])
        b = copied(nn.Buffer([1.0], persistent=False))
        assert type(b) is nn.Buffer
        assert b.persistent is False


def test_a_tensor_shared_before_deepcopy_is_shared_after(x):
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert a is not x
    model = nn.Linear(2, 2)
    twin = copy.deepcopy(model)
    twin.weight.data = plait.zeros(2, 2)
    assert model.weight.any()
    assert next(twin.parameters()) is twin.weight


# --- exchange


@pytest.mark.parametrize("dtype", [d for d in ALL if d.name != "bfloat16"], **by_name)
def test_dlpack_with_numpy(dtype):
    x = plait.tensor([[0, 1], [1, 1]], dtype=dtype)
    a = np.from_dlpack(x)
    assert a.dtype == dtype.numpy
    np.testing.assert_array_equal(a, x.numpy())
    if a.flags.writeable:  # then it must be a copy
        a[:] = 0
        assert x.any()
    b = np.from_dlpack(x, copy=True)
    assert not np.shares_memory(b, x.numpy())
    y = plait.from_dlpack(x.numpy().copy())
    assert (y.dtype, y.tolist()) == (dtype, x.tolist())
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_refuses(x):
    with pytest.raises(BufferError, match="bfloat16"):
        np.from_dlpack(x.bfloat16())
    with pytest.raises(BufferError, match="stream"):
        x.__dlpack__(stream=1)


@pytest.mark.skipif(torch is None, reason="torch is not installed")
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "int64", "uint8"])
def test_dlpack_with_torch(name):
    x = plait.tensor([[0, 1], [1, 1]], dtype=name)
    t = torch.from_dlpack(x)
    assert t.dtype is getattr(torch, name)
    assert t.tolist() == x.tolist()
    t = torch.arange(6, dtype=getattr(torch, name)).reshape(2, 3).T
    for y in (plait.from_dlpack(t), plait.asarray(t)):
        assert (y.dtype.name, y.tolist()) == (name, t.tolist())
    shared, own = plait.from_dlpack(t), plait.from_dlpack(t, copy=True)
    assert shared.numpy().ctypes.data == t.data_ptr()
    assert own.numpy().ctypes.data != t.data_ptr()


def test_the_namespace(x):
    assert x.__array_namespace__() is plait
    for version in plait.ARRAY_API_VERSIONS:
        assert x.__array_namespace__(api_version=version) is plait
    with pytest.raises(ArgumentError, match="not offered"):
        x.__array_namespace__(api_version="1999")


def test_a_tensor_is_not_made_by_its_class():
    with pytest.raises(plait.errors.ArgumentTypeError, match=r"plait\.tensor"):
        plait.Tensor([1.0])


def test_a_computed_tensor_cannot_stop_requiring_a_gradient():
    y = plait.ones(2, requires_grad=True) * 2
    with pytest.raises(plait.errors.GradientError, match="cannot stop"):
        y.requires_grad_(False)


def test_a_shallow_copy_keeps_the_class():
    parameter = plait.nn.Parameter(plait.ones(2))
    copied = copy.copy(parameter)
    assert type(copied) is plait.nn.Parameter
    assert copied.requires_grad
    (copied * 3).sum().backward()
    assert copied.grad.tolist() == [3, 3]
    assert parameter.grad is None


def test_names_of_pytorch():
    x = plait.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert x.clamp(min=0).tolist() == [[1, 0], [3, 4]]
    assert x.clamp(-1, 2).tolist() == [[1, -1], [2, 2]]
    assert x.mm(x).tolist() == (x @ x).tolist()
    assert x.sub(1).mul(2).div(2).add(1).tolist() == x.tolist()
    assert x.gt(0).tolist() == [[True, False], [True, True]]
    assert x.swapaxes(0, 1).tolist() == x.T.tolist()


def test_names_of_pytorch_where_the_axis_comes_first():
    x = plait.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert x.cumsum(0).tolist() == x.cumsum(dim=0).tolist() == [[1, -2], [4, 2]]
    assert x.cumprod(-1).tolist() == [[1, -2], [3, 12]]
    assert [row.tolist() for row in x.unbind()] == x.tolist()
    assert [row.tolist() for row in x.unbind(1)] == x.T.tolist()
    assert x.amax(1).tolist() == [1, 4]
    assert [part.tolist() for part in x.topk(1)] == [[[1], [4]], [[0], [1]]]
    assert x.norm().item() == pytest.approx(30**0.5)
    assert x.norm(1, dim=1, keepdim=True).tolist() == [[3], [7]]
    for wrong in ({"axis": 1}, {"dim": 1}):
        with pytest.raises(ArgumentTypeError, match="given twice"):
            x.cumsum(0, **wrong)
    with pytest.raises(ArgumentTypeError, match="too many"):
        x.cumsum(0, 1)


def test_methods_in_place():
    x = plait.tensor([1.0, -2.0])
    y = x
    assert x.add_(1).mul_(3).clamp_(min=0) is x
    assert y.tolist() == [6, 0]
    with pytest.raises(plait.errors.GradientError, match=r"\[add_\] a leaf"):
        plait.ones(2, requires_grad=True).add_(1)
