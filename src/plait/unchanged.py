"""Which arrays are as they were when somebody looked at them.

The array of a tensor never changes, with one exception: a program may write a result
over an input that nobody else holds, and returns the same array then. So whoever keeps
something that was made of an array asks for a `Look` at it, and whoever writes over one
calls `changed`.

Read first: `look_at`, `changed`, `lend`.
"""

from __future__ import annotations

import weakref

import numpy as np


class Look:
    """A look at an array.

    Attributes:
        array: gives the array, or None if it is gone.
        holds: whether the array is as it was.
    """

    __slots__ = ("__weakref__", "array", "holds")

    def __init__(self, array: np.ndarray) -> None:
        self.array = weakref.ref(array)
        self.holds = True


# By the identity of the array.
_looks: weakref.WeakValueDictionary[int, Look] = weakref.WeakValueDictionary()
_lent: dict[int, Look] = {}


def look_at(array: np.ndarray) -> Look:
    """Return a look at an array, which holds until the array is changed.

    The look at one that was lent does not hold.
    """
    look = _looks.get(id(array))
    if look is None or look.array() is not array:
        look = _looks[id(array)] = Look(array)
    return look


def changed(array: np.ndarray) -> None:
    """Tell that an array is written over."""
    look = _looks.pop(id(array), None) if _looks else None
    if look is not None:
        look.holds = False


def lend(array: np.ndarray) -> None:
    """Tell that others may write over an array from now on, whenever they like."""
    look = look_at(array)
    look.holds = False
    _lent[id(array)] = look
    weakref.finalize(array, _lent.pop, id(array), None)
