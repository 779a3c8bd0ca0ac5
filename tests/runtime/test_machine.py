"""Every instruction does what `program` says."""

import numpy as np
import pytest

from plait.dtypes import bool_, int32
from plait.errors import ShapeError
from plait.ir.graph import TensorType
from plait.program import (
    Advance,
    Clear,
    Copy,
    Count,
    Host,
    Jump,
    Launch,
    Parts,
    Place,
    Repeat,
    SetSlot,
    Shift,
    Swap,
    Unless,
)
from plait.runtime import Runner, binding, host, machine, sharing
from plait.runtime import runner as runner_module

from .llvm_kernels import HEAVY, multiply_add, one_launch, program, vector

X = np.arange(4, dtype=np.float32)


def test_launch():
    (y,) = Runner(one_launch(multiply_add(4, 1, 2.0, 3.0), 4)).run([X])
    np.testing.assert_array_equal(y, 2 * X + 3)
    assert y.dtype == np.float32


def test_copy_clear_and_offsets():
    instructions = [
        Clear(Place(1), 24),
        Copy(Place(1, 4), Place(0, 8), 8),
        Copy(Place(2, 64), Place(0), 16),
        Copy(Place(1, 16), Place(2, 64), 4),
    ]
    made = program([vector(4)], [vector(6)], [], instructions, arena=128)
    (y,) = Runner(made).run([X + 1])
    assert y.tolist() == [0, 3, 4, 0, 1, 0]


def test_constants():
    constants = np.arange(20, dtype=np.float32).view(np.uint8)
    made = program(
        [], [vector(4)], [], [Copy(Place(0), Place(2, 4), 16)], constants=constants
    )
    assert Runner(made).run([])[0].tolist() == [1, 2, 3, 4]


def test_constants_are_aligned():
    store = np.zeros(200, np.uint8)
    for skip in range(3):
        store[skip : skip + 16] = np.arange(16)
        made = program([], [], [], [], constants=store[skip : skip + 16])
        runner = Runner(made)
        assert runner._constants.ctypes.data % 64 == 0
        assert runner._constants.tolist() == list(range(16))


def test_a_loop_with_moving_slots():
    """y[i] = x[i] + 1 for each i, last first, one element at a time."""
    x, y = 4, 5
    instructions = [
        SetSlot(x, Place(0, 12)),
        SetSlot(y, Place(1, 12)),
        Count(6, 4),
        Launch(0, (Place(x), Place(y))),
        Advance(x, -4),
        Advance(y, -4),
        Repeat(6, 3),
    ]
    made = program([vector(4)], [vector(4)], [multiply_add(1)], instructions, slots=3)
    np.testing.assert_array_equal(Runner(made).run([X])[0], X + 1)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("work", [None, HEAVY], ids=["alone", "shared"])
def test_parts_have_slots_of_their_own(count, work, threads):
    """y[i] = x[i] + 3, a fourth of it in each part, and back to what slots were."""
    threads(count)
    n = 64
    instructions = [
        SetSlot(4, Place(1)),
        Copy(Place(1), Place(0), 4 * n),
        Parts(4, 8),
        Shift(4, n),
        Count(5, 3),
        Launch(0, (Place(4), Place(4))),
        Repeat(5, 5),
        Count(5, 9),
        Launch(1, (Place(4), Place(4))),
    ]
    kernels = [multiply_add(n // 4, work=work), multiply_add(1, 1, 1.0, 100.0)]
    made = program([vector(n)], [vector(n)], kernels, instructions, slots=2)
    x = np.arange(n, dtype=np.float32)
    expected = x + 3
    expected[0] += 100  # where slot 4 began before the parts
    runner = Runner(made)
    for _ in range(3):
        np.testing.assert_array_equal(runner.run([x])[0], expected)


def test_a_part_has_memory_for_kernels_of_its_own(threads):
    """Scratch memory lies after what the part keeps there itself."""
    threads(2)
    instructions = [
        Parts(8, 4),
        SetSlot(4, Place(1)),
        Shift(4, 16),
        Launch(0, (Place(0), Place(4))),
    ]
    kernel = multiply_add(4, 1, 2.0, 1.0, HEAVY, 10_000)
    made = program([vector(4)], [vector(32)], [kernel], instructions, slots=1)
    need = runner_module.workspace_bytes(made)
    assert need >= 10_000 + 8 * (machine.SLOTS + made.slots)
    np.testing.assert_array_equal(Runner(made).run([X])[0], [*2 * X + 1] * 8)


def test_swapped_slots():
    """A state that goes back and forth between two buffers, an odd number of times."""
    instructions = [
        Copy(Place(2), Place(0), 16),
        SetSlot(4, Place(2)),
        SetSlot(5, Place(2, 64)),
        Count(6, 7),
        Launch(0, (Place(4), Place(5))),
        Swap(4, 5),
        Repeat(6, 4),
        Copy(Place(1), Place(4), 16),
    ]
    made = program(
        *([vector(4)], [vector(4)], [multiply_add(4, 1, 2.0, 0.0)], instructions),
        arena=128,
        slots=3,
    )
    np.testing.assert_array_equal(Runner(made).run([X])[0], X * 2**7)


@pytest.mark.parametrize("condition", [False, True])
def test_branches(condition):
    instructions = [
        Unless(Place(0), 3),
        Launch(0, (Place(1), Place(2))),
        Jump(4),
        Launch(1, (Place(1), Place(2))),
        Launch(0, (Place(2), Place(2))),
    ]
    kernels = [multiply_add(4, 1, 1.0, 10.0), multiply_add(4, 1, -1.0, 0.0)]
    types = [TensorType((), bool_), vector(4)]
    runner = Runner(program(types, [vector(4)], kernels, instructions))
    want = X + 20 if condition else 10 - X
    np.testing.assert_array_equal(runner.run([condition, X])[0], want)
    np.testing.assert_array_equal(runner.run([np.bool_(condition), X])[0], want)


def test_a_python_function_in_a_loop():
    seen = []

    def function(a, b):
        seen.append(a)
        a += 1  # it may do with its arguments what it likes
        return a + b, np.int32(len(seen))

    call = Host(
        function,
        ((Place(1), vector(4)), (Place(0), vector(4))),
        ((Place(1), vector(4)), (Place(2), TensorType((), int32))),
    )
    instructions = [Copy(Place(1), Place(0), 16), Count(5, 3), call, Repeat(5, 2)]
    made = program(
        [vector(4)], [vector(4), TensorType((), int32)], [], instructions, slots=1
    )
    y, n = Runner(made).run([X])
    np.testing.assert_array_equal(y, X * 4 + 3)
    assert n == 3
    np.testing.assert_array_equal(seen[0], X + 1)  # not overwritten later


def test_an_error_of_a_python_function_names_the_line():
    def refuse(a):
        raise ShapeError("no", where="inside")

    x = (Place(0), vector(4))
    for where, want in (("file.py:3", "file.py:3"), ("", "inside")):
        made = program([vector(4)], [], [], [Host(refuse, (x,), (), where)])
        runner = Runner(made)
        for _ in range(2):  # it can be run again
            with pytest.raises(ShapeError) as caught:
                runner.run([X])
            assert caught.value.where == want


def test_a_result_of_a_wrong_shape():
    call = Host(lambda: np.zeros(3), (), ((Place(0), vector(4)),))
    with pytest.raises(ValueError, match="shape"):
        Runner(program([], [vector(4)], [], [call])).run([])


def test_denormals_are_kept_and_the_mode_is_restored():
    tiny = np.full(4, 1e-40, np.float32)
    (y,) = Runner(one_launch(multiply_add(4, 1, 0.5, 0.0), 4)).run([tiny])
    assert (y > 0).all()


@pytest.mark.parametrize(
    ("architecture", "triple"),
    [("x86_64", "x86_64-unknown-linux-gnu"), ("aarch64", "aarch64-unknown-linux-gnu")],
)
def test_the_text_is_valid_for(architecture, triple):
    llvm = host.llvm()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    text = sharing.text(architecture) + binding.text() + machine.text()
    module = llvm.parse_assembly(text)
    module.verify()
    target = llvm.Target.from_triple(triple).create_target_machine()
    assembly = target.emit_assembly(module)
    # The exchange that takes chunks acquires; the end of chunks releases.
    if architecture == "aarch64":
        assert "ldaxr" in assembly
        assert "stlxr" in assembly
        assert "stlr" in assembly
