"""Registers whose places and lanes are exchanged, as machine code and as meant."""

import numpy as np
import pytest

from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import named
from plait.compile.loops.grammar import (
    UNROLL,
    Buffer,
    For,
    Get,
    Kernel,
    Load,
    Registers,
    Set,
    Store,
    Transpose,
    Variable,
    Vector,
)
from plait.compile.loops.parse import from_text
from plait.compile.loops.text import to_text
from plait.compile.loops.verify import verify
from plait.dtypes import bfloat16, float32, float64, int8, uint16, uint32
from plait.errors import GraphError

place, lane, turn = Variable("place"), Variable("lane"), Variable("turn")


def transpose(dtype, lanes, places=None, turns=1):
    x = Buffer("x", dtype, lanes * lanes)
    y = Buffer("y", dtype, lanes * lanes, "out")
    square = Registers("square", dtype, places or lanes, lanes)
    at = place * lanes + lane
    read = For(place, lanes, [Set(square, place, Load(x, at))], UNROLL)
    written = For(place, lanes, [Store(y, at, Get(square, place))], UNROLL)
    body = [
        square, Vector(lane, lanes, lanes, [read]),
        For(turn, turns, [Transpose(square)]), Vector(lane, lanes, lanes, [written]),
    ]  # fmt: skip
    return Kernel("transpose", [x, y], body)


@pytest.mark.parametrize("dtype", [float64, float32, uint32, bfloat16, uint16, int8])
@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rows_become_columns(dtype, lanes, turns, agree, target):
    kernel = transpose(dtype, lanes, turns=turns)
    verify(kernel)
    x = np.arange(lanes * lanes).astype(dtype.numpy).reshape(lanes, lanes)
    _, got = agree(kernel, [x, np.zeros_like(x)], target)
    np.testing.assert_array_equal(got, x.T if turns % 2 else x)


def test_it_is_printed_and_read():
    text = to_text(transpose(float32, 4))
    assert "transpose square\n" in text
    assert to_text(from_text(text)) == text


def test_only_squares_are_transposed():
    with pytest.raises(GraphError, match="no square"):
        verify(transpose(float32, 4, places=8))


def test_it_takes_one_shuffle_for_each_row_and_halving():
    text = emit(transpose(float32, 16), named("avx512"))
    assert text.count("shufflevector") == 16 * 4
