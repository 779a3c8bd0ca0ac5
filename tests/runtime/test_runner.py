"""What goes into a run and what comes out: addresses, copies, donations."""

import gc
import threading

import ml_dtypes
import numpy as np
import pytest

from plait import dtypes
from plait.ir.graph import TensorType
from plait.program import Copy, Launch, Place
from plait.runtime import Runner, memory, runner

from .llvm_kernels import multiply_add, one_launch, program, vector

N = 6


@pytest.fixture(params=["natively", "in Python"])
def asks(request, monkeypatch):
    """Inputs are looked at natively, or, where that cannot be, in Python."""
    assert runner._reads_objects()  # on every interpreter that the tests run on
    if request.param == "in Python":
        monkeypatch.setattr(runner, "_reads_objects", lambda: False)


def identity(*types):
    """Return a program that copies its inputs to its outputs."""
    instructions = [
        Copy(Place(len(types) + i), Place(i), type.size * type.dtype.itemsize)
        for i, type in enumerate(types)
    ]
    return program(types, types, [], instructions)


def add_one(n=N, donate=True):
    donations = {0: 0} if donate else {}
    return Runner(one_launch(multiply_add(n), n, donations=donations))


def layouts():
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    raw = np.zeros(97, np.uint8)
    misaligned = raw[1:].view(np.float32).reshape(2, 3, 4)
    misaligned[...] = a
    frozen = a.copy()
    frozen.flags.writeable = False
    return {
        "contiguous": a,
        "transposed": np.ascontiguousarray(a.T).T,
        "strided": np.repeat(a, 2, 0)[::2],
        "reversed": a[::-1].copy()[::-1],
        "broadcast": np.broadcast_to(np.float32(3), (2, 3, 4)),
        "misaligned": misaligned,
        "frozen": frozen,
        "subclass": a.view(np.memmap),
    }


@pytest.mark.parametrize("name", layouts())
@pytest.mark.usefixtures("asks")
def test_layouts_of_inputs(name):
    x = layouts()[name]
    type = TensorType((2, 3, 4), dtypes.float32)
    y, z = Runner(identity(type, type)).run([x, x])
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(z, x)
    assert not np.shares_memory(y, x)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
@pytest.mark.usefixtures("asks")
def test_element_types_and_numbers(dtype):
    types = [TensorType((3,), dtype), *[TensorType((), dtype)] * 4]
    array = np.array([0, 1, 1]).astype(dtype.numpy)
    number = True if dtype.kind == "bool" else 100
    values = [array, number, np.int64(1), array[1:2].reshape(()), array[2]]
    got = Runner(identity(*types)).run(values)
    assert [x.dtype for x in got] == [dtype.numpy] * 5
    want = [[0, 1, 1], number, 1, 1, 1]
    for x, y in zip(got, want, strict=True):
        np.testing.assert_array_equal(x.astype(np.float64), y)


@pytest.mark.usefixtures("asks")
def test_numbers_become_what_numpy_makes_of_them():
    cases = [
        (dtypes.float32, 1e39, np.inf),
        (dtypes.float32, 0.1, np.float32(0.1)),
        (dtypes.float32, 2**200, np.inf),
        (dtypes.bfloat16, 3.14159, ml_dtypes.bfloat16(3.14159)),
        (dtypes.float16, 1e6, np.inf),
        (dtypes.int32, 2.5, 2),
        (dtypes.bool_, 3, True),
        (dtypes.uint64, 2**64 - 1, np.uint64(2**64 - 1)),
    ]
    for dtype, value, want in cases:
        (got,) = Runner(identity(TensorType((), dtype))).run([value])
        assert got == want
        assert got.shape == ()
    with pytest.raises(OverflowError):
        Runner(identity(TensorType((), dtypes.int8))).run([300])


@pytest.mark.usefixtures("asks")
def test_zero_size():
    made = one_launch(multiply_add(0, 0), 0)
    (y,) = Runner(made).run([np.zeros(0, np.float32)])
    assert y.shape == (0,)
    type = TensorType((3, 0, 2), dtypes.float64)
    (y,) = Runner(identity(type)).run([np.zeros((3, 0, 2))])
    assert y.shape == (3, 0, 2)


@pytest.mark.usefixtures("asks")
@pytest.mark.parametrize(
    "value",
    [
        np.zeros(5, np.float32),
        np.zeros((6, 1), np.float32),
        np.zeros(6, np.float64),
        np.zeros(6, np.int32),
        np.zeros(6, ">f4"),
        np.zeros((), np.float32),
        1.0,
        None,
        [0.0] * 6,
    ],
    ids=repr,
)
def test_wrong_inputs(value):
    run = add_one().run
    with pytest.raises(ValueError, match=r"input 0 of a program is .* must be"):
        run([value])
    np.testing.assert_array_equal(run([np.zeros(6, np.float32)])[0], np.ones(6))


def test_a_wrong_number_of_inputs():
    with pytest.raises(ValueError, match="2 values for 1 inputs"):
        add_one().run([1.0, 2.0])


def test_a_dtype_that_is_equal_but_another_object():
    other = np.dtype(np.float32).newbyteorder("=")
    x = np.zeros(N, np.dtype("f4", metadata={"a": 1}))
    for array in (x, np.zeros(N, other)):
        np.testing.assert_array_equal(add_one().run([array])[0], np.ones(N))


# --- donations


def fresh(n=N):
    return np.zeros(n, np.float32)


@pytest.mark.parametrize("n", [N, memory.SMALL])
def test_what_nobody_else_holds_is_overwritten(n):
    run = add_one(n).run
    values = [memory.empty((n,), np.dtype(np.float32))]
    values[0][:] = 0
    place = id(values[0])
    for i in range(5):
        values = run(values)
        assert id(values[0]) == place
        np.testing.assert_array_equal(values[0], np.full(n, i + 1))


def test_the_list_is_empty_afterwards():
    values = [fresh()]
    add_one().run(values)
    assert values == []
    values = [fresh(3)]
    with pytest.raises(ValueError, match="must be"):
        add_one().run(values)
    assert values == []


def holders():
    """Ways to see an array: each returns what a list is given, and what still sees."""
    base = np.zeros(2 * N, np.float32)
    return {
        "variable": lambda a: (a, a),
        "view": lambda a: (a, a[1:]),
        "view of a view": lambda a: (a, a[1:][1:]),
        "memoryview": lambda a: (a, memoryview(a)),
        "dlpack": lambda a: (a, np.from_dlpack(a)),
        "capsule": lambda a: (a, a.__dlpack__()),
        "it is a view": lambda a: (a[:], a),
        "it is a view of part": lambda a: (base[:N], base),
        "another view": lambda a: (a[:], a[::2]),
        "container": lambda a: (a, {"a": [a]}),
        "bytes": lambda a: (a.view(np.uint8).view(np.float32), a),
    }


@pytest.mark.parametrize("n", [N, memory.SMALL])
@pytest.mark.parametrize("name", holders())
def test_what_is_seen_elsewhere_is_not_overwritten(name, n):
    if name == "it is a view of part":
        n = N
    array = memory.empty((n,), np.dtype(np.float32))
    array[:] = 0
    given, seen = holders()[name](array)
    values = [given]
    del array, given
    (y,) = add_one(n).run(values)
    np.testing.assert_array_equal(y, np.ones(n))
    if isinstance(seen, np.ndarray):
        assert not seen.any()
        assert not np.shares_memory(y, seen)


def frozen():
    array = fresh()
    array.flags.writeable = False
    return array


def view_of_frozen():
    owner = fresh()
    view = owner[:]
    owner.flags.writeable = False
    return view


def foreign():
    return np.frombuffer(bytearray(4 * N), np.float32)


@pytest.mark.parametrize("make", [frozen, view_of_frozen, foreign])
def test_foreign_and_frozen_memory_is_not_overwritten(make):
    values = [make()]
    place = values[0].ctypes.data
    (y,) = add_one().run(values)
    np.testing.assert_array_equal(y, np.ones(N))
    assert y.ctypes.data != place


def test_a_view_that_only_holds_its_owner_is_overwritten():
    values = [np.zeros((2, 3), np.float32).reshape(N)]
    place = values[0].ctypes.data
    (y,) = add_one().run(values)
    assert y.ctypes.data == place


def test_the_same_array_twice_is_not_overwritten():
    types = [vector(N)] * 2
    launch = Launch(0, (Place(0), Place(2)))
    copy = Copy(Place(3), Place(1), 4 * N)
    made = program(types, types, [multiply_add(N)], [launch, copy], donations={0: 0})
    x = fresh()
    values = [x, x]
    del x
    y, z = Runner(made).run(values)
    np.testing.assert_array_equal(y, np.ones(N))
    np.testing.assert_array_equal(z, np.zeros(N))


def test_a_tuple_hands_nothing_over():
    run = add_one().run
    values = (fresh(),)
    place = id(values[0])
    (y,) = run(values)
    assert id(y) != place
    assert not values[0].any()


def test_a_donation_to_an_output_of_another_shape():
    made = program(
        [vector(N)],
        [TensorType((2, 3), dtypes.float32)],
        [multiply_add(N)],
        [Launch(0, (Place(0), Place(1)))],
        donations={0: 0},
    )
    values = [fresh()]
    place = values[0].ctypes.data
    (y,) = Runner(made).run(values)
    assert y.shape == (2, 3)
    assert y.ctypes.data == place
    np.testing.assert_array_equal(y, np.ones((2, 3)))


def test_without_reading_objects_nothing_is_overwritten(monkeypatch):
    monkeypatch.setattr(runner, "_reads_objects", lambda: False)
    values = [fresh()]
    place = values[0].ctypes.data
    kept = values[0]
    (y,) = add_one().run(values)
    np.testing.assert_array_equal(y, np.ones(N))
    assert y.ctypes.data != place
    assert not kept.any()


def test_runs_leak_nothing():
    run = add_one(memory.SMALL, donate=False).run
    x = np.zeros(memory.SMALL, np.float32)
    run([x])
    gc.collect()
    before = memory.usage().used
    for _ in range(20):
        run([x])
    assert memory.usage().used == before


def test_programs_share_their_arenas():
    def make(n):
        copies = [Copy(Place(2), Place(0), 4), Copy(Place(1), Place(2), 4)]
        return Runner(program([vector(1)], [vector(1)], [], copies, arena=n))

    runners = [make((i + 1) << 20) for i in reversed(range(10))]
    x = np.ones(1, np.float32)
    runners[0].run([x])
    before = memory.usage().used
    for one in runners:
        assert one.run([x])[0] == 1
    assert memory.usage().used == before


def test_threads_may_run_one_program():
    n = 4096
    step = Launch(0, (Place(2), Place(2)))
    made = program(
        [vector(n)],
        [vector(n)],
        [multiply_add(n)],
        [
            Copy(Place(2), Place(0), 4 * n),
            *[step] * 50,
            Copy(Place(1), Place(2), 4 * n),
        ],
        arena=4 * n,
    )
    one = Runner(made)
    wrong = []

    def work(start):
        x = np.full(n, start, np.float32)
        for _ in range(20):
            (y,) = one.run([x])
            if (y != start + 50).any():
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(i * 100.0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
