"""Padding of the last axes, with a constant or with what `x` holds.

Read first: `pad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import int64
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from . import gather, movement
from .movement import as_integer, slice_axis
from .source import constant


def _pairs(widths: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    whole = isinstance(widths, (tuple, list)) and all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in widths
    )
    if not whole:
        raise ArgumentError(
            "[pad] widths must be pairs (before, after), one for each of the last axes",
            got=repr(widths),
            expected="((before, after), ...), the last pair for the last axis",
        )
    return [
        (as_integer("pad", "a width", low), as_integer("pad", "a width", high))
        for low, high in widths
    ]


# mode -> its name in NumPy, and how wide it can at most be.
_MODES: dict[str, tuple[Any, Callable[[int], float], str]] = {
    "reflect": ("reflect", lambda n: n - 1, "less than the size of the axis"),
    "replicate": (
        "edge", lambda n: float("inf") if n else 0, "an axis that is not empty",
    ),
    "circular": ("wrap", lambda n: n, "at most the size of the axis"),
}  # fmt: skip


def pad(
    x: Node,
    widths: Sequence[Sequence[int]],
    *,
    mode: str = "constant",
    value: float = 0,
) -> Node:
    """Return `x` with elements added before and after its last axes.

    Formula, for an axis abcd and widths (2, 2): "constant" vvabcdvv with v = value,
    "reflect" cbabcdcb, "replicate" aaabcddd, "circular" cdabcdab.

    Args:
        x: shape (..., *sizes), with one size for each entry of `widths`.
        widths: pairs (before, after), the last for the last axis; negative widths cut
            off, before anything is added. (PyTorch's flat order has the last axis
            first.)
        mode: "constant", "reflect", "replicate" or "circular".
        value: of a constant.

    Returns:
        Shape (..., *[before + n + after]).

    Raises:
        ShapeError: there are more pairs than axes; more is cut off than there is; a
            width is too large for the mode: as large as the axis for "reflect", larger
            for "circular".
        ArgumentError: no such mode, or widths that are no pairs.

    Gradient: what was added from `x` is added up where it came from.
    """
    if mode != "constant" and mode not in _MODES:
        raise ArgumentError(
            "[pad] there is no mode of that name",
            got=repr(mode),
            expected=", ".join(("constant", *_MODES)),
        )
    pairs = _pairs(widths)
    lead = x.ndim - len(pairs)
    if lead < 0:
        raise ShapeError(
            "[pad] there are more pairs of widths than axes",
            got=f"{len(pairs)} pairs for shape {x.shape}",
        )
    for axis, (low, high) in enumerate(pairs, lead):
        x = _cut(x, axis, -min(low, 0), -min(high, 0))
    grown = [(max(low, 0), max(high, 0)) for low, high in pairs]
    if mode == "constant":
        return movement.pad_constant(x, (*((0, 0),) * lead, *grown), value)
    name, limit, expected = _MODES[mode]
    for axis, (low, high) in enumerate(grown, lead):
        if max(low, high) > limit(x.shape[axis]):
            raise ShapeError(
                f'[pad] mode "{mode}" cannot pad so much',
                got=f"widths {(low, high)} for axis {axis} of shape {x.shape}",
                expected=expected,
            )
        if low or high:
            places = np.pad(np.arange(x.shape[axis]), (low, high), name)
            x = gather.gather(x, constant(places, int64), axis)
    return x


def _cut(x: Node, axis: int, low: int, high: int) -> Node:
    """Return `x` without the first and last elements of an axis."""
    n = x.shape[axis]
    if low + high > n:
        raise ShapeError(
            "[pad] more is cut off than there is",
            got=f"widths {(-low, -high)} for axis {axis} of shape {x.shape}",
        )
    return slice_axis(x, axis, low, n - high) if low or high else x


OPS = (pad,)
