"""Tiles of Loop IR: what they mean, how they are written, and what is refused."""

import ml_dtypes
import numpy as np
import pytest

from plait.compile.loops.grammar import (
    Buffer,
    For,
    Kernel,
    Tile,
    TileLoad,
    TileProduct,
    TileStore,
    Variable,
    Vector,
)
from plait.compile.loops.interpret import interpret
from plait.compile.loops.simplify import simplify
from plait.compile.loops.text import from_text, to_text
from plait.compile.loops.verify import verify
from plait.dtypes import float32
from plait.errors import DTypeError, GraphError, IndexingError

TEXT = """\
kernel "product of tiles"
  x: uint32[40] in
  y: uint32[32] in
  z: float32[24] out
  sums: float32[24] scratch
chunks 1
  tile total: float32[3 x 8]
  tile left: uint32[3 x 4]
  tile right: uint32[4 x 8]
  for turn in 2:
    tile left = x[turn * 8] by 10
    tile right = y[0] by 8
    tile total += left @ right
  tile sums[0] by 8 = total
  for i in 24:
    z[i] = sums[i]
"""


SIX = "".join(f"  tile one{n}: uint32[1 x 1]\n" for n in range(6))


def pairs(numbers):
    """Return float32 as bfloat16, two neighbours in 32 bits."""
    return numbers.astype(ml_dtypes.bfloat16).view(np.uint32)


def test_product_of_tiles():
    """Rows are `by` apart, and each pair in a row meets one in a column."""
    random = np.random.default_rng(0)
    left = random.integers(-8, 8, (80,)).astype(np.float32)
    right = random.integers(-8, 8, (4, 8, 2)).astype(np.float32)
    result = np.zeros(24, np.float32)
    interpret(from_text(TEXT), [pairs(left), pairs(right).reshape(-1), result])
    rows = [
        np.stack([left[turn * 16 + r * 20 :][:8] for r in range(3)]) for turn in (0, 1)
    ]
    columns = right.transpose(0, 2, 1).reshape(8, 8)
    expected = rows[0] @ columns + rows[1] @ columns
    np.testing.assert_array_equal(result.reshape(3, 8), expected)


def test_text_is_read_back():
    kernel = from_text(TEXT)
    verify(kernel)
    assert to_text(kernel) == TEXT
    assert to_text(simplify(kernel)) == TEXT
    canonical = to_text(kernel, canonical=True)
    assert to_text(from_text(canonical), canonical=True) == canonical


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("float32[3 x 8]", "float32[3 x 17]", GraphError, "a tile of this size"),
        ("float32[3 x 8]", "float32[4 x 8]", GraphError, "do not fit together"),
        ("uint32[4 x 8]\n  for", "uint32[3 x 8]\n  for", GraphError, "do not fit"),
        ("total: float32", "total: uint32", DTypeError, "a tile of a product"),
        ("left: uint32[3", "left: bfloat16[3", GraphError, "have not 32 bits"),
        ("x: uint32", "x: float32", DTypeError, "a tile of this buffer"),
        ("by 10", "by 3", GraphError, "lie upon one another"),
        ("turn * 8", "turn * 20", IndexingError, "not proven to lie within x"),
        ("tile sums[0] by 8", "tile z[0] by 8", GraphError, "into scratch memory"),
        ("  tile right:", SIX + "  tile right:", GraphError, "more tiles at once"),
    ],
)  # fmt: skip
def test_what_is_refused(old, new, error, message):
    assert old in TEXT
    text = TEXT.replace(old, new)
    with pytest.raises(error) as caught:
        verify(from_text(text))
    assert message in str(caught.value)


def test_tiles_stay_outside_of_vector():
    tile, lane = Tile("tile", float32, 2, 2), Variable("lane")
    kernel = Kernel(
        "inside", [], [tile, Vector(lane, 2, 2, [TileProduct(*[tile] * 3)])]
    )
    with pytest.raises(GraphError, match="a tile inside vector"):
        verify(kernel)


def test_tiles_are_those_of_the_body():
    tile, other = Tile("tile", float32, 2, 2), Variable("other")
    x = Buffer("x", float32, 4, "scratch")
    for use in (TileLoad(tile, x, 0, 2), TileStore(x, 0, 2, tile)):
        kernel = Kernel("outside", [], [For(other, 2, [tile]), use], scratch=[x])
        with pytest.raises(GraphError, match="not declared here"):
            verify(kernel)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+= left @ right", "+= left"),
        ("= x[turn", "= left[turn"),
        ("  tile total += left @ right", "  total[0] = 1"),
        ("z[i] = sums[i]", "z[i] = total[i]"),
        ("sums[0] by 8 = total", "sums[0] by 8 = sums"),
    ],
)
def test_text_that_is_none(old, new):
    assert old in TEXT
    with pytest.raises(GraphError, match="this is no kernel"):
        from_text(TEXT.replace(old, new))
