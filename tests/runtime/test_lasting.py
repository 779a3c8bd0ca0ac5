"""What lasts from run to run: made again when it must be, and only then."""

import gc
import threading
import weakref

import numpy as np
import pytest

from plait.program import Lasting, Launch, Place, Unless
from plait.runtime import Runner, memory
from plait.runtime.timeline import Timeline

from .llvm_kernels import multiply_add, program, vector

N = 16
FLAG, COPY = 0, 64


def doubled(donations=None):
    """Return a runner of 2 w + 1, where 2 w lasts, and then of x in place of w.

    Inputs are w and x; outputs 2 w + 1, and x + 1 where x may be overwritten.
    """
    twice, plus = multiply_add(N, factor=2.0, term=0.0), multiply_add(N)
    slot = 6
    return Runner(
        program(
            [vector(N)] * 2, [vector(N)] * 2, [twice, plus],
            [
                Unless(Place(slot, FLAG), 2),
                Launch(0, (Place(0), Place(slot, COPY))),
                Launch(1, (Place(slot, COPY), Place(2))),
                Launch(1, (Place(1), Place(3))),
            ],
            slots=1, donations=donations or {},
            lasting=COPY + 4 * N, lasting_slot=slot, lasts=[Lasting(FLAG, (0,))],
        )
    )  # fmt: skip


def launches(runner, values):
    """Return the first result, and how many kernels have run."""
    timeline = Timeline()
    return runner.run(values, timeline)[0], len(timeline.spans)


def array(value):
    return np.full(N, value, np.float32)


def test_it_is_made_once_for_an_array():
    runner, w = doubled(), array(3)
    for x, expected in ((array(0), 3), (array(1), 2), (array(2), 2)):
        y, ran = launches(runner, [w, x])
        assert (y[0], ran) == (7, expected)
    y, ran = launches(runner, [array(4), array(0)])
    assert (y[0], ran) == (9, 3)
    y, ran = launches(runner, [w, array(0)])
    assert (y[0], ran) == (7, 3)


def test_it_is_made_again_after_a_program_wrote_over_the_array():
    runner, w = doubled({1: 1}), array(3)
    address = memory.address(w)
    assert launches(runner, [w, array(0)])[0][0] == 7
    values = [array(0), w]
    del w
    w = runner.run(values)[1]  # written over, and the same array
    assert memory.address(w) == address
    assert w[0] == 4
    y, ran = launches(runner, [w, array(0)])
    assert (y[0], ran) == (9, 3)


def test_it_is_made_again_after_the_run_that_wrote_over_its_own_input():
    twice, plus = multiply_add(N, factor=2.0, term=0.0), multiply_add(N)
    one = program(
        [vector(N)], [vector(N)] * 2, [twice, plus],
        [
            Unless(Place(5, FLAG), 2),
            Launch(0, (Place(0), Place(5, COPY))),
            Launch(1, (Place(5, COPY), Place(1))),
            Launch(1, (Place(0), Place(2))),
        ],
        slots=1, donations={0: 1},
        lasting=COPY + 4 * N, lasting_slot=5, lasts=[Lasting(FLAG, (0,))],
    )  # fmt: skip
    runner, values = Runner(one), [array(3)]
    for expected in (7, 9, 11):
        y, after = runner.run(values)
        assert y[0] == expected
        values = [after]
        del after


@pytest.mark.parametrize("kind", ["lent", "strided", "view"])
def test_nothing_lasts_of_memory_that_others_may_write(kind):
    runner, own = doubled(), np.zeros(2 * N, np.float32)
    w = {
        "lent": np.frombuffer(own.data, np.float32)[:N],
        "strided": own[::2],
        "view": own[:N],
    }[kind]
    for value in (1, 2):
        own[:] = value
        y, ran = launches(runner, [w, array(0)])
        assert (y[0], ran) == (2 * value + 1, 3)


def test_what_failed_is_made_again():
    runner, w = doubled(), array(3)
    with pytest.raises(ValueError, match="input 1 of a program"):
        runner.run([w, np.zeros(N, np.float64)])
    assert launches(runner, [w, array(0)])[0][0] == 7


def test_threads_have_each_their_own():
    runner = doubled()
    weights = [array(i) for i in range(4)]
    wrong = []

    def work(i):
        for turn in range(200):
            number = (i + turn // 50) % 4
            y = runner.run([weights[number], array(0)])[0]
            if y[0] != 2 * number + 1:
                wrong.append((i, turn))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_the_memory_goes_with_the_program():
    gc.collect()
    before = memory.usage().used
    large = 1 << 20
    one = program(
        [vector(N)], [vector(N)], [multiply_add(N)],
        [Launch(0, (Place(0), Place(1)))],
        slots=1, lasting=large, lasting_slot=4, lasts=[Lasting(0, (0,))],
    )  # fmt: skip
    assert one.taken >= large
    runner = Runner(one)
    runner.run([array(0)])
    assert memory.usage().used >= before + large
    gone = weakref.ref(runner)
    del runner
    gc.collect()
    assert gone() is None
    assert memory.usage().used < before + large
