"""Which way functions run that threads can share."""

import pytest

from .conftest import value


def turns(node, digits, turns, launches=3):
    """Return of each turn: shared calls, milliseconds of all, and looks at clocks."""
    found = value(node.run("turns", digits.folder, turns=turns, launches=launches))
    assert found["alarms"] == [7 if launches else 0, 0]
    return [(one["calls"], one["time"], one["asked"]) for one in found["found"]]


@pytest.mark.parametrize("cost", [0.005, 0.5, 30])
def test_the_faster_way_is_taken_when_it_changes(node, digits, cost):
    calls = max(int(12_000 / cost), 2000)
    quiet, loaded = [2 * cost, cost], [cost, 3 * cost]
    before, meanwhile, after = turns(
        node, digits, [[quiet, calls], [loaded, calls], [quiet, calls]]
    )
    for shared, time, _ in (before, after):
        assert shared > 0.9 * calls
        assert time < 1.1 * calls * cost
    shared, time, _ = meanwhile
    assert shared < 0.1 * calls
    assert time < 1.2 * calls * cost


def test_a_few_calls_are_shared(node, digits):
    ((shared, _, _),) = turns(node, digits, [[[2, 1], 20]])
    assert shared == 20


def test_short_calls_are_seldom_timed(node, digits):
    _, (_, _, asked) = turns(node, digits, [[[0.02, 0.01], 10_000]] * 2)
    assert asked < 2 * 10_000 / 15


def test_what_shares_nothing_is_not_timed(node, digits):
    ((_, _, asked),) = turns(node, digits, [[[1, 1], 1000]], launches=0)
    assert asked == 0
