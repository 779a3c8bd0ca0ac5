"""Sliding windows: which elements their taps meet, against the formula."""

import itertools

import pytest

from plait.compile.lower.sliding import Axis, Layout
from plait.compile.lower.ways import is_gathered

CASES = list(
    itertools.product(
        (1, 5), (1, 4), (1, 3, 4), (1, 2, 3), (1, 2), (1, 2, 4), (-2, 0, 3)
    )
)  # fmt: skip


def met(axis, phase):
    """Yield position, tap and the element that they meet, as an axis says it."""
    for run in axis.runs[phase]:
        for i in range(run.number):
            for q in range(axis.positions):
                place = q * axis.phases + phase
                if place < axis.count:
                    z = q + run.shift + i * run.shift_step
                    yield place, run.first + i * run.step, axis.stride * z + run.part


@pytest.mark.parametrize("apart", [False, True])
def test_taps_meet_the_elements_of_the_formula(apart):
    for size, count, taps, step, gap, spread, low in CASES:
        axis = Axis(size, count, taps, step, gap, spread, low, apart)
        found = sorted(one for phase in range(axis.phases) for one in met(axis, phase))
        wanted = []
        for place, tap in itertools.product(range(count), range(taps)):
            at, rest = divmod(place * step + tap * gap - low, spread)
            if not rest:
                wanted.append((place, tap, at))
        assert found == wanted


@pytest.mark.parametrize("apart", [False, True])
def test_no_row_reaches_into_the_elements_of_its_neighbours(apart):
    for size, count, taps, step, gap, spread, low in CASES:
        axis = Axis(size, count, taps, step, gap, spread, low, apart)
        reads = range(axis.low_shift, axis.high_shift + axis.positions)
        for part in axis.parts:
            elements = [z for z in reads if 0 <= axis.stride * z + part < size]
            for z in reads:
                if z not in elements:
                    assert z - axis.pitch not in elements
                    assert z + axis.pitch not in elements
        assert axis.pitch >= axis.positions


def test_positions_and_taps_stay_within_what_is_laid_out():
    axes = [Axis(5, 3, 3, 2, 1, 1, 1), Axis(7, 7, 3, 1, 1, 1, 1)]
    layout = Layout(axes, 3, None, 4)
    place = 2 * layout.item_pitch + sum(
        (axis.positions - 1 + axis.high_shift - axis.low_shift) * pitch
        for axis, pitch in zip(axes, layout.pitches, strict=True)
    )
    assert place < layout.written <= layout.size
    assert layout.positions + layout.reach == place + 1


@pytest.mark.parametrize(
    ("size", "taps", "step", "low", "is_one"),
    [
        (224, 16, 16, 0, True),  # patches of an image
        (8, 2, 2, 0, False),  # so few parts that they are written out
        (56, 3, 2, 1, False),
        (300, 70, 40, 5, True),  # a part for each of 40 places
    ],
)
def test_what_becomes_a_product(size, taps, step, low, is_one):
    count = (size + 2 * low - taps) // step + 1
    axis = Axis(size, count, taps, step, 1, 1, low)
    assert is_gathered([axis], False) == is_one
    assert is_gathered([axis, axis], False) == is_one
