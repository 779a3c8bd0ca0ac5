"""Tensors made from numbers, lists, arrays and nothing: dtypes, copies, errors."""

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.dtypes import ALL, FLOATS
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DTypeError,
    PlaitError,
    ShapeError,
)


def shown(value):
    """Return an id without addresses, which differ between processes."""
    return re.sub(r" at 0x\w+", "", repr(value))


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (True, "bool"), (3, "int64"), (2.5, "float32"), ([], "float32"),
        ([[], []], "float32"), ([True, 2], "int64"), ([1, 2.5], "float32"),
        ((1, (2)), "int64"), (range(3), "int64"), (np.float64(1), "float64"),
        (np.int8(1), "int8"), ([np.float64(1)], "float64"), (2**63, "uint64"),
        ([np.array([1, 2], np.int8)], "int8"), (np.zeros(2, np.float16), "float16"),
        (np.zeros(2, ml_dtypes.bfloat16), "bfloat16"), (np.zeros(2, ">i4"), "int32"),
        (bytearray(b"ab"), "uint8"), (memoryview(b"ab"), "uint8"),
    ],
    ids=shown,
)  # fmt: skip
def test_the_default_dtype(data, dtype):
    for make in (plait.tensor, plait.asarray):
        x = make(data)
        assert x.dtype.name == dtype
        np.testing.assert_array_equal(x.numpy(), np.asarray(data))


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_any_dtype_under_all_its_names(dtype):
    for name in (dtype, dtype.name, dtype.numpy, dtype.numpy.type):
        x = plait.tensor([0, 1, 1], dtype=name)
        assert x.dtype is dtype
        assert x.numpy().dtype == dtype.numpy
        assert x.tolist() == [0, 1, 1]
        assert [type(v) for v in x.tolist()] == [
            float if dtype.is_float else bool if dtype.kind == "bool" else int
        ] * 3


def test_tensors_among_numbers():
    x = plait.tensor([1.0, 2.0])
    assert plait.asarray([x[0], x[1] * 2]).tolist() == [1, 4]
    assert plait.tensor([x, x]).shape == (2, 2)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([[1, 2], [3]], ShapeError), ("a", DTypeError), ([None], DTypeError),
        ([1j], DTypeError), ([2**70], DTypeError), (np.array(["a"]), DTypeError),
        ({1, 2}, DTypeError), (None, DTypeError), (object(), DTypeError),
        (np.zeros(2, complex), DTypeError), (np.zeros(2, "datetime64[s]"), DTypeError),
    ],
    ids=shown,
)  # fmt: skip
def test_what_is_no_tensor(data, error):
    for make in (plait.tensor, plait.asarray):
        with pytest.raises(error) as caught:
            make(data)
        assert isinstance(caught.value, PlaitError)
        assert __file__ in caught.value.where


@pytest.mark.parametrize(("value", "dtype"), [(300, "uint8"), (-1, "uint64")])
def test_a_number_that_does_not_fit(value, dtype):
    with pytest.raises(DTypeError, match="does not fit"):
        plait.tensor([0, value], dtype=dtype)


@pytest.mark.parametrize("dtype", ["a", "f4", complex, 3, "complex64", str])
def test_no_dtype(dtype):
    with pytest.raises(DTypeError, match="not an element type"):
        plait.tensor(1, dtype=dtype)


# --- copies


def test_tensor_copies():
    a = np.arange(3.0)
    for x in (plait.tensor(a), plait.asarray(a), plait.asarray(a, copy=True)):
        a[0] = 9
        assert x.tolist() == [0, 1, 2]
        a[0] = 0
    x = plait.from_dlpack(a, copy=True)
    a[0] = 9
    assert x.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "share", [plait.from_numpy, lambda a: plait.asarray(a, copy=False)]
)
def test_memory_is_shared_but_never_written(share):
    a = np.arange(6.0).reshape(2, 3).T
    x = share(a)
    assert np.shares_memory(x.numpy(), a)
    assert (x + 1).tolist() == (a + 1).tolist()
    x[0] = 7
    x += 1
    assert a.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert a.flags.writeable


def test_from_dlpack():
    a = np.arange(3.0)
    assert np.shares_memory(plait.from_dlpack(a).numpy(), a)
    x = plait.ones(2)
    assert plait.from_dlpack(x) is x
    assert plait.from_dlpack(x, copy=True) is not x
    with pytest.raises(ArgumentTypeError, match="no __dlpack__"):
        plait.from_dlpack(3)
    with pytest.raises(DeviceError):
        plait.from_dlpack(a, device="cuda")


def test_asarray_of_a_tensor():
    x = plait.ones(2)
    assert plait.asarray(x) is x
    assert plait.asarray(x, copy=False) is x
    assert plait.asarray(x, copy=True) is not x
    assert plait.asarray(x, dtype="int8").dtype is plait.int8


@pytest.mark.parametrize(
    "make",
    [
        lambda: plait.asarray([1], copy=False),
        lambda: plait.asarray(plait.ones(2), dtype="float64", copy=False),
        lambda: plait.asarray(np.ones(2), dtype="float32", copy=False),
        lambda: plait.from_numpy(np.zeros(2, ">i4")),
        lambda: plait.from_numpy([1]),
    ],
)
def test_what_cannot_be_shared(make):
    with pytest.raises(ArgumentError, match="need"):
        make()


def test_requires_grad():
    x = plait.tensor([1.0], requires_grad=True)
    assert x.requires_grad
    assert x.is_leaf
    y = plait.tensor(x * 2)
    assert not y.requires_grad
    assert plait.asarray(x * 2, copy=True).requires_grad
    assert plait.zeros(2, requires_grad=True).requires_grad
    assert plait.ones((2,), requires_grad=True).requires_grad
    for make in (plait.zeros, plait.ones, plait.tensor):
        with pytest.raises(DTypeError, match="floating-point"):
            make(1, dtype="int32", requires_grad=True)


# --- filled


def test_sizes_come_as_a_tuple_or_one_by_one():
    for make in (plait.zeros, plait.ones, plait.empty):
        shapes = [make(*s).shape for s in ((2, 3), ((2, 3),), ([2, 3],), (2,), ((),))]
        assert shapes == [(2, 3), (2, 3), (2, 3), (2,), ()]
        assert make(2).dtype is plait.float32
        assert make(2, dtype="int8").dtype is plait.int8
        assert make(np.int64(2), plait.tensor(1)).shape == (2, 1)
    assert plait.zeros(2, 0).tolist() == [[], []]


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (-1, ShapeError), ((2, -1), ShapeError), ("a", ArgumentTypeError),
        (2.5, ArgumentTypeError), ((1.0,), ArgumentTypeError),
        (None, ArgumentTypeError),
    ],
)  # fmt: skip
def test_bad_sizes(shape, error):
    for make in (plait.zeros, plait.ones, lambda s: plait.full(s, 1)):
        with pytest.raises(error, match="sizes must"):
            make(shape)


@pytest.mark.parametrize(
    ("value", "dtype"), [(True, "bool"), (1, "int64"), (1.5, "float32")]
)
def test_full(value, dtype):
    x = plait.full((2, 1), value)
    assert (x.dtype.name, x.tolist()) == (dtype, [[value], [value]])
    assert plait.full(2, value, dtype="float64").dtype is plait.float64
    y = plait.full_like(plait.ones(2, dtype="float16"), value)
    assert (y.dtype.name, y.tolist()) == ("float16", [value, value])


def test_full_of_a_tensor_is_differentiable():
    v = plait.tensor(2.0, requires_grad=True)
    plait.full((3,), v).sum().backward()
    assert v.grad.item() == 3
    assert plait.full((2,), plait.tensor(3)).dtype is plait.int64
    with pytest.raises(ArgumentTypeError, match="neither a tensor nor a number"):
        plait.full((2,), "a")


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_like(dtype):
    x = plait.ones(2, 3, dtype=dtype)
    for make, value in (
        (plait.zeros_like, 0), (plait.ones_like, 1), (plait.empty_like, 0)
    ):  # fmt: skip
        y = make(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert (y == value).all()
        assert make(x, dtype="int8").dtype is plait.int8


# --- ranges


number = st.one_of(st.integers(-20, 20), st.floats(-20, 20).map(lambda x: round(x, 1)))


@settings(deadline=None)
@given(number, number, number.filter(bool))
def test_arange_is_numpys(start, stop, step):
    x = plait.arange(start, stop, step)
    whole = all(isinstance(v, int) for v in (start, stop, step))
    assert x.dtype is (plait.int64 if whole else plait.float32)
    expected = np.arange(start, stop, step)
    assert x.shape == expected.shape
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-6, atol=1e-5)


def test_arange():
    assert plait.arange(3).tolist() == [0, 1, 2]
    assert plait.arange(3.0).dtype is plait.float32
    assert plait.arange(-3).shape == (0,)
    assert plait.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert plait.arange(2**53, 2**53 + 3).tolist() == [2**53 + i for i in range(3)]
    assert plait.arange(3, dtype="float16").dtype is plait.float16
    with pytest.raises(ArgumentError, match="step must not be 0"):
        plait.arange(0, 1, 0)


@settings(deadline=None)
@given(number, number, st.integers(0, 20), st.booleans())
def test_linspace_is_numpys(start, stop, num, endpoint):
    x = plait.linspace(start, stop, num, endpoint=endpoint, dtype="float64")
    expected = np.linspace(start, stop, num, endpoint=endpoint)
    np.testing.assert_array_equal(x.numpy(), expected)


def test_linspace():
    assert plait.linspace(0, 1, 3).dtype is plait.float32
    for dtype in FLOATS:
        assert plait.linspace(0, 1, 3, dtype=dtype).dtype is dtype
    with pytest.raises(ArgumentError, match="must not be negative"):
        plait.linspace(0, 1, -1)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(-5, 5))
def test_eye_is_numpys(rows, columns, k):
    x = plait.eye(rows, columns, k=k, dtype="int8")
    np.testing.assert_array_equal(x.numpy(), np.eye(rows, columns, k))


def test_eye():
    assert plait.eye(2).dtype is plait.float32
    assert plait.eye(2, k=10**30).tolist() == [[0, 0], [0, 0]]
    for n in (-1, 2.5, "a"):
        with pytest.raises(PlaitError, match="sizes must"):
            plait.eye(n)


def test_devices():
    makers = [
        lambda d: plait.tensor(1, device=d), lambda d: plait.asarray(1, device=d),
        lambda d: plait.zeros(1, device=d), lambda d: plait.ones(1, device=d),
        lambda d: plait.full(1, 2, device=d), lambda d: plait.arange(1, device=d),
        lambda d: plait.linspace(0, 1, 2, device=d), lambda d: plait.eye(2, device=d),
    ]  # fmt: skip
    for make in makers:
        assert make("cpu").device == make(None).device == plait.Device("cpu")
        for device in ("cuda", "cpu:1", 3):
            with pytest.raises(DeviceError, match="no such device"):
                make(device)


def test_arange_takes_any_finite_number():
    assert plait.arange(np.int64(3)).dtype is plait.int64
    assert plait.arange(plait.tensor(3)).tolist() == [0, 1, 2]
    assert plait.arange(5, -5, -3).tolist() == [5, 2, -1, -4]
    top = plait.arange(2**64 - 2, 2**64 - 1, dtype="uint64")
    assert top.tolist() == [2**64 - 2]
    for bad in ("a", None, [1, 2]):
        with pytest.raises(plait.errors.ArgumentTypeError, match="numbers are needed"):
            plait.arange(bad)
    for bad in (float("inf"), float("nan")):
        with pytest.raises(plait.errors.ArgumentError, match="finite"):
            plait.arange(0, bad)


@pytest.mark.parametrize(
    "make", [lambda: plait.arange(300, dtype="uint8"),
             lambda: plait.full((2,), 300, dtype="uint8")]
)  # fmt: skip
def test_integers_that_do_not_fit_are_refused(make):
    with pytest.raises(plait.errors.DTypeError, match="does not fit in uint8"):
        make()
