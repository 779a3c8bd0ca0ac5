"""Random programs do the same wherever the trace is run, and as in PyTorch."""

import random

import pytest

import plait
from plait.settings import settings

from . import programs
from .programs import Plait, Torch, difference, random_program, run

# Numbers and lengths of programs. The first ones once failed.
CASES = [
    (60038, 50), (60061, 50), (60071, 50), (60083, 50), (60151, 50),
    *((seed, 40) for seed in range(40)),
]  # fmt: skip


def schedules(seed, length):
    """Return sets of instructions before which to flush: all, few, and many."""
    draw = random.Random(seed)
    few = {i for i in range(length) if draw.random() < 0.15}
    many = {i for i in range(length) if draw.random() < 0.4}
    return [set(range(length)), few, many]


def ended(log, error):
    """Return the log and error of a run, without what hooks saw before an error."""
    while error and log and log[-1][0].startswith("hook"):
        log = log[:-1]
    return log, error


@pytest.mark.parametrize(("seed", "length"), CASES)
def test_where_the_trace_is_run_changes_nothing(seed, length, monkeypatch):
    program = random_program(seed, length)
    plait.flush()
    log, error = ended(*run(program, Plait()))
    for flushes in schedules(seed, length):
        plait.flush()
        again, other = ended(*run(program, Plait(), flushes))
        assert other == error
        assert not difference(log, again)
    for limit in (1, 5, 17):
        monkeypatch.setattr(settings, "max_trace", limit)
        plait.flush()
        again, other = ended(*run(program, Plait()))
        assert other == error
        assert not difference(log, again)


@pytest.mark.skipif(programs.torch is None, reason="PyTorch is not installed")
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize(("seed", "length"), CASES)
def test_values_and_gradients_are_pytorchs(seed, length):
    program = random_program(seed, length)
    expected, failure = ended(*run(program, Torch()))
    plait.flush()
    log, error = ended(*run(program, Plait()))
    if "inplace operation" in failure:
        # Ours goes on, by the values of then: `test_a_saved_value_is_changed_in_place`.
        assert not difference(expected, log[: len(expected)], 1e-8)
    elif failure.split(":")[0] == error.split(":")[0]:
        assert not difference(expected, log, 1e-8)
    else:
        # PyTorch lets a graph be used twice where it had saved no values. We do not.
        assert "used up" in error
        assert not failure or int(error.split()[0]) < int(failure.split()[0])
