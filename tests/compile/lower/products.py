"""Products of matrices to test: their kernels, and the arrays they work on.

Read first: `Product`.
"""

import numpy as np

from plait.compile.loops.grammar import Buffer, Constant, Kernel, Load, Operation, Store
from plait.compile.loops.interpret import interpret
from plait.compile.loops.traverse import buffers_of
from plait.compile.loops.verify import verify
from plait.compile.lower.blocking import Facts, Shape
from plait.compile.lower.contract import Contraction, Operand, lower
from plait.dtypes import bfloat16, float32, uint32

# Vectors of four float32, and few registers: edges come early.
SMALL = Facts(vector_bytes=16, registers=10, bf16_dot=True)
# The sizes of matrices that matter: one, below, at and above a vector, several blocks.
SHAPES = [
    (1, 1, 1, 1), (1, 1, 9, 5), (1, 9, 1, 6), (1, 4, 4, 4), (1, 3, 5, 7), (2, 5, 3, 2),
    (1, 11, 10, 9), (3, 2, 13, 4), (1, 17, 23, 6), (1, 8, 16, 12), (1, 13, 2, 1),
]  # fmt: skip
LAYOUTS = ["kk", "ko", "ok", "oo"]


def operand(buffer, outer, k, along, view=None):
    """Return an operand whose neighbours lie along "k" or along the outer index.

    Args:
        view: the same as pairs of elements.
    """
    strides = (k, 1) if along == "k" else (1, outer)

    def load(b, i, at):
        return Load(buffer, b * (outer * k) + i * strides[0] + at * strides[1])

    pairs = None
    if view is not None and along == "k" and k % 2 == 0:

        def pairs(b, i, step):
            return Load(view, b * (outer * k // 2) + i * (k // 2) + step)

    return Operand(load, buffer.dtype, *strides, outer * k, pairs)


class Product:
    """The kernels of result = left @ right, and the arrays they work on."""

    def __init__(
        self, shape, layout="kk", dtype=float32, facts=SMALL, contiguous="n",
        precision="highest", count=False, irregular=False,
    ):  # fmt: skip
        b, m, n, k = self.shape = Shape(*shape)
        self.layout, self.dtype, self.contiguous = layout, dtype, contiguous
        self.x = Buffer("x", dtype, b * m * k)
        self.y = Buffer("y", dtype, b * n * k)
        self.result = Buffer("result", dtype, b * m * n, "inout" if count else "out")

        def finish(b_at, m_at, n_at, value):
            place = m_at * n + n_at if contiguous == "n" else n_at * m + m_at
            place = b_at * (m * n) + place
            if count:
                one = Constant(1, dtype)
                value = Operation("add", (Load(self.result, place), one))
            elif value.dtype is not dtype:
                value = Operation("cast", (value,), dtype)
            return [Store(self.result, place, value)]

        # Of bfloat16, pairs are read where they are.
        self.pairs = Buffer("pairs", uint32, b * m * k // 2)
        view = self.pairs if dtype is bfloat16 else None
        left = operand(self.x, m, k, layout[0], view)
        right = operand(self.y, n, k, layout[1])
        if irregular:
            left = left._replace(outer_stride=None, k_stride=None, pairs=None)
            right = right._replace(outer_stride=None, k_stride=None)
        contraction = Contraction(self.shape, dtype, precision)
        self.pieces = lower(contraction, left, right, finish, contiguous, facts)
        self.kernels = []
        for piece in self.pieces:
            used = [b for b in buffers_of(piece.body) if b not in piece.scratch]
            kernel = Kernel(piece.name, used, piece.body, piece.chunks, piece.scratch)
            verify(kernel)
            self.kernels.append(kernel)

    def numbers(self, seed=0):
        random = np.random.default_rng(seed)
        b, m, n, k = self.shape
        for rows, along in ((m, self.layout[0]), (n, self.layout[1])):
            shape = (b, rows, k) if along == "k" else (b, k, rows)
            if self.dtype.is_float:
                yield random.standard_normal(shape).astype(self.dtype.numpy)
            else:
                yield random.integers(0, 100, shape).astype(self.dtype.numpy)

    def run(self, x, y, start=0, call=interpret):
        b, m, n, _ = self.shape
        shape = (b, m, n) if self.contiguous == "n" else (b, n, m)
        arrays = {
            self.x: x, self.y: y,
            self.result: np.full(shape, start, self.dtype.numpy),
        }  # fmt: skip
        if self.dtype is bfloat16 and x.size % 2 == 0:
            arrays[self.pairs] = x.reshape(-1).view(np.uint32)
        for kernel in self.kernels:
            for buffer in kernel.buffers:
                if buffer not in arrays:
                    arrays[buffer] = np.full(buffer.size, 7, buffer.dtype.numpy)
            call(kernel, [arrays[buffer] for buffer in kernel.buffers])
        return arrays[self.result]

    def expected(self, x, y, dtype=np.float64):
        x, y = x.astype(dtype), y.astype(dtype)
        x = x if self.layout[0] == "k" else x.swapaxes(1, 2)
        y = y.swapaxes(1, 2) if self.layout[1] == "k" else y
        result = x @ y
        return result if self.contiguous == "n" else result.swapaxes(1, 2)

    def check(self, tolerance=1e-5, **options):
        x, y = self.numbers()
        got = self.run(x, y, **options)
        if not self.dtype.is_float:
            np.testing.assert_array_equal(got, self.expected(x, y, self.dtype.numpy))
            return
        np.testing.assert_allclose(
            got.astype(np.float64), self.expected(x, y),
            atol=tolerance * np.sqrt(self.shape.k), rtol=tolerance,
        )  # fmt: skip
