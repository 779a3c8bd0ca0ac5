"""How launches are shared follows from how long all of them take together."""

import numpy as np
import pytest

from plait import worth
from plait.program import Code, Count, Launch, Parts, Program, Repeat, Work
from plait.runtime import machine
from plait.runtime.instructions import pack
from plait.worth import turns_of


@pytest.mark.parametrize(("turns", "sharing"), [(2, "SHARED"), (50, "WAKE")])
def test_launches_in_a_loop_count_once_for_each_turn(turns, sharing):
    # Some 10 microseconds: not worth waking threads for one launch.
    code = Code("kernel", "", 4, 0, Work(200_000, 0), lambda: b"")
    loop = [Count(2, turns), Launch(0, ()), Repeat(2, 1)]
    program = Program([], [], [code], loop, 0, np.zeros(0, np.uint8), 3)
    words = pack(program, [0]).words.tolist()
    launch = words.index(machine.LAUNCH, 3)
    assert words[launch + 3] == getattr(worth, sharing)


@pytest.mark.parametrize(
    ("turns", "sharing"), [(1, "ALONE"), (6, "SHARED"), (40, "WAKE")]
)
def test_parts_are_shared_for_what_they_do_together(turns, sharing):
    code = Code("kernel", "", 1, 0, Work(10_000, 0), lambda: b"")
    loop = [Parts(4, 4), Count(2, turns), Launch(0, ()), Repeat(2, 2)]
    program = Program([], [], [code], loop, 0, np.zeros(0, np.uint8), 3)
    packed = pack(program, [0])
    assert packed.words[0] == machine.PARTS
    assert packed.words[2] == getattr(worth, sharing)
    assert packed.parallel is (sharing != "ALONE")
    assert packed.steps[0].work.flops == 4 * turns * 10_000
    assert packed.steps[0].shared is packed.parallel
    assert turns_of(program) == [1, 4, 4 * turns, 4]
    # Where to go on: after the end of what each part does.
    assert packed.words[packed.words[3] - 1] == machine.END
    assert packed.words[packed.words[3]] == machine.END
