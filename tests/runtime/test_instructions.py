"""How launches are shared follows from how long all of them take together."""

import numpy as np
import pytest

from plait.program import Code, Count, Launch, Program, Repeat, Work
from plait.runtime import machine
from plait.runtime.instructions import pack


@pytest.mark.parametrize(("turns", "sharing"), [(2, "SHARED"), (50, "WAKE")])
def test_launches_in_a_loop_count_once_for_each_turn(turns, sharing):
    # Some 10 microseconds: not worth waking threads for one launch.
    code = Code("kernel", "", 4, 0, Work(200_000, 0), lambda: b"")
    loop = [Count(2, turns), Launch(0, ()), Repeat(2, 1)]
    program = Program([], [], [code], loop, 0, np.zeros(0, np.uint8), 3)
    words = pack(program, [0]).words.tolist()
    launch = words.index(machine.LAUNCH, 3)
    assert words[launch + 3] == getattr(machine, sharing)
