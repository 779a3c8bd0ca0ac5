"""Products of any layout, size and type: as Loop IR means them, and as machine code."""

import ml_dtypes
import numpy as np
import pytest

from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host
from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    Kernel,
    Load,
    Operation,
    Store,
)
from plait.compile.loops.interpret import interpret
from plait.compile.loops.text import to_text
from plait.compile.loops.traverse import buffers_of
from plait.compile.loops.verify import verify
from plait.compile.lower import blocking, contract_split, copies
from plait.compile.lower.blocking import Facts, Shape
from plait.compile.lower.contract import Contraction, Operand, lower
from plait.dtypes import (
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int32,
    uint8,
    uint64,
)

# Vectors of four float32, and few registers: edges come early.
SMALL = Facts(vector_bytes=16, registers=10, bf16_dot=True)
# The sizes of matrices that matter: one, below, at and above a vector, several blocks.
SHAPES = [
    (1, 1, 1, 1), (1, 1, 9, 5), (1, 9, 1, 6), (1, 4, 4, 4), (1, 3, 5, 7), (2, 5, 3, 2),
    (1, 11, 10, 9), (3, 2, 13, 4), (1, 17, 23, 6), (1, 8, 16, 12), (1, 13, 2, 1),
]  # fmt: skip
LAYOUTS = ["kk", "ko", "ok", "oo"]


def operand(buffer, outer, k, along):
    """Return an operand whose neighbours lie along "k" or along the outer index."""
    strides = (k, 1) if along == "k" else (1, outer)

    def load(b, i, at):
        return Load(buffer, b * (outer * k) + i * strides[0] + at * strides[1])

    return Operand(load, buffer.dtype, *strides, outer * k)


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

        left = operand(self.x, m, k, layout[0])
        right = operand(self.y, n, k, layout[1])
        if irregular:
            left = left._replace(outer_stride=None, k_stride=None)
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


@pytest.fixture
def shared(monkeypatch):
    """Copies are made by kernels of their own, for as many chunks as there can be."""
    monkeypatch.setattr(copies, "_SHARED_PRODUCTS", 1)
    monkeypatch.setattr(copies, "_COPY_CHUNK", 40)
    monkeypatch.setattr(copies, "_SPREAD_REUSE", 1)
    monkeypatch.setattr(copies, "_stays", lambda *_: False)
    monkeypatch.setattr(blocking, "_CHUNK_PRODUCTS", 40)
    monkeypatch.setattr(blocking, "_COPY_ROWS", 3)


@pytest.fixture
def sliced(monkeypatch):
    """Sums are cut into slices."""

    def slice(shape, *_):
        return max(1, -(-shape.k // 3))

    monkeypatch.setattr(blocking, "_slice", slice)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right(shape, layout):
    for contiguous in "nm":
        Product(shape, layout, contiguous=contiguous).check()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 11, 10, 9), (2, 5, 13, 6), (1, 17, 23, 7)])
class TestLarge:
    def test_shared_copies(self, shape, layout, shared):
        product = Product(shape, layout)
        assert len(product.pieces) > 1 or shape[0] > 1
        product.check()

    @pytest.mark.parametrize("dtype", [float32, bfloat16])
    def test_slices(self, shape, layout, dtype, sliced):
        Product(shape, layout, dtype).check(2e-2 if dtype is bfloat16 else 1e-5)

    @pytest.mark.parametrize("parts", [2, 4])
    def test_parts_of_sums(self, shape, layout, parts, monkeypatch):
        monkeypatch.setattr(contract_split, "_PART_PRODUCTS", 1)
        monkeypatch.setattr(contract_split, "_LEAST_STEPS", 1)
        monkeypatch.setattr(contract_split, "_MOST_PARTS", parts)
        monkeypatch.setattr(contract_split, "_CHUNK_ELEMENTS", 30)
        for contiguous in "nm":
            product = Product(shape, layout, contiguous=contiguous)
            assert len(product.pieces) >= 2
            product.check()

    def test_slices_of_shared_copies(self, shape, layout, sliced, shared):
        Product(shape, layout).check()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(float64, 1e-14), (float16, 2e-3), (bfloat16, 2e-2), (int8, 0), (uint8, 0),
     (int32, 0), (uint64, 0)],
)  # fmt: skip
def test_element_types(dtype, tolerance, layout):
    for shape in ((1, 6, 11, 9), (1, 2, 9, 8)):
        Product(shape, layout, dtype).check(tolerance)


@pytest.mark.parametrize("irregular", [False, True])
def test_bfloat16_pairs_of_an_odd_sum(irregular):
    product = Product((1, 5, 9, 7), "ko", bfloat16, irregular=irregular)
    assert "dot_pairs" in to_text(product.kernels[-1])
    product.check(2e-2)


def test_operands_without_strides_are_copied():
    for layout in LAYOUTS:
        Product((2, 7, 9, 5), layout, irregular=True).check()


@pytest.mark.parametrize("dtype", [float32, float64])
def test_long_sums_are_as_exact_as_any(dtype):
    product = Product((1, 2, 3, 300), "ko", dtype)
    x, y = product.numbers()
    exact = product.expected(x, y, np.longdouble)
    size = product.expected(abs(x), abs(y))
    error = abs(product.run(x, y) - exact) / size
    # Summed up one after another, the error may be k times this.
    assert error.max() < 20 * np.finfo(dtype.numpy).eps


def test_fast_rounds_operands_and_nothing_else():
    product = Product((1, 5, 9, 40), "kk", precision="fast")
    x, y = product.numbers()
    short = [a.astype(ml_dtypes.bfloat16).astype(np.float32) for a in (x, y)]
    got = product.run(x, y)
    np.testing.assert_allclose(got, product.expected(*short), atol=1e-5)
    assert abs(got - product.expected(x, y)).max() > 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_each_element_is_finished_once(shape, layout):
    product = Product(shape, layout, int32, count=True)
    assert (product.run(*product.numbers(), start=5) == 6).all()
    product = Product(shape, layout, float32, count=True)
    assert (product.run(*product.numbers(), start=5) == 6).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 5, 7, 6), (1, 2, 9, 7), (1, 9, 1, 6)])
def test_infinities_stay_in_their_rows_and_columns(shape, layout):
    product = Product(shape, layout)
    x, y = product.numbers()
    x[0, 0, 0], y[0, -1, -1] = np.inf, np.nan
    got, expected = product.run(x, y), product.expected(x, y)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))


def test_an_empty_sum_is_zero_and_an_empty_result_nothing():
    for layout in LAYOUTS:
        x = np.empty(0, np.float32)
        assert (Product((1, 5, 7, 0), layout).run(x, x, start=3) == 0).all()
        for shape in ((0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4)):
            assert Product(shape, layout).pieces == []


def test_equal_products_are_equal_text():
    first, second = (
        [to_text(kernel) for kernel in Product((1, 20, 30, 10), "ok").kernels]
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("bytes", [16, 32, 64])
def test_blocks_leave_no_register_over(registers, bytes):
    facts = Facts(vector_bytes=bytes, registers=registers)
    for n in range(1, 300, 7):
        for m in (1, 10, 45, 64, 1000):
            cut = blocking.plan(
                Shape(1, m, n, 64), facts.lanes(float32), facts, 4, True
            )
            assert cut.spread * cut.rows * cut.vectors + cut.vectors + 1 <= registers
            # All vectors of columns are in a panel, and no more.
            narrow = cut.panels - cut.wide
            vectors = cut.wide * cut.vectors + narrow * (cut.vectors - 1)
            assert vectors == -(-n // cut.lanes)
            assert 0 < cut.wide <= cut.panels
            # Few rows are computed twice.
            assert cut.rows * cut.blocks - m < cut.blocks


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [float32, float64, bfloat16, float16, int32])
def test_machine_code(layout, dtype, run_kernel):
    tolerance = {float64: 1e-14, float16: 5e-3, bfloat16: 3e-2}.get(dtype, 1e-5)
    facts = Facts(
        host().vector_bits // 8, host().vector_registers, host().fma, host().bf16_dot
    )
    for shape in ((1, 45, 46, 30), (1, 3, 70, 45)):
        Product(shape, layout, dtype, facts).check(tolerance, call=run_kernel)


def test_code_is_short():
    facts = Facts()
    for shape in ((1, 64, 256, 784), (1, 64, 10, 256), (1, 784, 256, 64)):
        for layout in LAYOUTS:
            for kernel in Product(shape, layout, facts=facts).kernels:
                assert emit(kernel, host()).count("\n") < 600
