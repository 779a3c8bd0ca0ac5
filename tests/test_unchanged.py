"""Looks at arrays: what they tell after changes, and when arrays are gone."""

import gc

import numpy as np

from plait.unchanged import changed, lend, look_at


def test_a_look_holds_until_the_array_is_changed():
    x, y = np.zeros(3), np.zeros(3)
    look, other = look_at(x), look_at(y)
    assert look_at(x) is look
    assert look is not other
    assert look.holds
    assert look.array() is x
    changed(x)
    assert not look.holds
    assert other.holds
    assert look_at(x) is not look
    assert look_at(x).holds


def test_no_look_at_what_others_may_write_holds():
    x = np.zeros(3)
    before = look_at(x)
    lend(x)
    assert not before.holds
    assert not look_at(x).holds
    place = id(x)
    del x, before
    gc.collect()
    assert not any(id(look) == place for look in [look_at(np.zeros(3))])
    assert look_at(np.zeros(3)).holds


def test_looks_do_not_keep_arrays_alive():
    look = look_at(np.zeros(3))
    gc.collect()
    assert look.array() is None
