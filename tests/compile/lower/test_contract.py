"""Products of any layout, size and type: as Loop IR means them, and as machine code."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

import plait
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host
from plait.compile.loops.text import to_text
from plait.compile.lower import blocking, contract_split, copies
from plait.compile.lower.blocking import Facts, Shape
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
from plait.transform.simplify import simplify

from .. import both
from .products import LAYOUTS, SHAPES, SMALL, Product


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


def test_pairs_are_read_where_they_are():
    """Two neighbours along the sum are 32 bits in memory already."""
    text = to_text(Product((1, 9, 9, 8), "ko", bfloat16).kernels[-1])
    assert "pairs: uint32[36] in" in text
    assert "x: bfloat16" not in text
    for shape, layout in (((1, 9, 9, 8), "oo"), ((1, 9, 9, 7), "ko")):
        text = to_text(Product(shape, layout, bfloat16).kernels[-1])
        assert "x: bfloat16" in text


def test_pairs_of_what_is_read_again():
    """A result may not take the place of an operand that is read in two ways."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((24, 24)).astype(bfloat16.numpy) for _ in range(2)]

    def function(x, y):
        z = plait.relu(x) @ y
        return plait.relu(x + z @ y) @ y + z, z[1:].T @ z[1:]

    traced = plait.jit(function).trace(*map(plait.asarray, arrays))
    both.check(simplify(traced.graph), arrays)


def test_float16_is_not_rounded_to_bfloat16():
    product = Product((1, 5, 9, 40), "kk", float16, precision="fast")
    assert "dot_pairs" not in to_text(product.kernels[-1])
    product.check(2e-3)


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


def test_compact_code_is_shorter():
    """It does the same: loops where vectors of columns are written out otherwise."""
    compact = replace(SMALL, compact=True)
    for shape in ((1, 9, 10, 13), (2, 5, 23, 8), (1, 1, 9, 5), (1, 12, 20, 30)):
        for layout in LAYOUTS:
            short = Product(shape, layout, facts=compact)
            short.check()
            full = Product(shape, layout)
            lines, more = (
                sum(to_text(kernel).count("\n") for kernel in one.kernels)
                for one in (short, full)
            )
            assert lines <= more
    kernel = Product((1, 64, 10, 128), "kk", facts=compact).kernels[0]
    full = Product((1, 64, 10, 128), "kk").kernels[0]
    assert to_text(kernel).count("\n") < 0.75 * to_text(full).count("\n")


def test_code_is_short():
    facts = Facts()
    for shape in ((1, 64, 256, 784), (1, 64, 10, 256), (1, 784, 256, 64)):
        for layout in LAYOUTS:
            for kernel in Product(shape, layout, facts=facts).kernels:
                assert emit(kernel, host()).count("\n") < 600
