"""Products on tiles: as Loop IR means them, and as code with the tiles in software."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from plait.compile.llvm.assemble import assembly
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import named
from plait.compile.loops.text import from_text, to_text
from plait.compile.lower import blocking, contract
from plait.compile.lower.blocking import Facts, Shape
from plait.compile.lower.contract import Contraction, Operand
from plait.compile.lower.contract_tiles import wants_tiles
from plait.compile.lower.facts import facts_of
from plait.dtypes import bfloat16, float16, float32, float64

from ..tile_model import run, tile_target
from .products import LAYOUTS, SHAPES, Product

# Tiles of four rows and four pairs: edges come early.
SMALL = Facts(vector_bytes=16, registers=10, bf16_dot=True, tiles=4)
# Sums are cut after three tiles.
SLICED = Facts(vector_bytes=16, registers=10, tiles=4, l2=8 * 3 * 8 * 4 * 4 * 3)
AMX = facts_of(tile_target())
PLAIN = Facts(AMX.vector_bytes, AMX.registers, AMX.fma, AMX.bf16_dot)


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    """Products are on tiles whether it pays or not."""

    def wants(contraction, left, right, facts):
        return bool(facts.tiles) and contraction.sum_dtype is float32

    monkeypatch.setattr(contract, "wants_tiles", wants)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right(shape, layout):
    for dtype, precision, tolerance in (
        (float32, "highest", 1e-6),
        (float32, "high", 2e-5),
        (bfloat16, "highest", 2e-2),
        (float16, "highest", 2e-3),
    ):
        product = Product(shape, layout, dtype, SMALL, precision=precision)
        product.check(tolerance)
        text = to_text(product.kernels[-1])
        # Of few rows or columns, vectors along the sum are better than blocks.
        assert "tile sum" in text or min(product.shape.m, product.shape.n) < 4
        assert to_text(from_text(text)) == text
    Product(shape, layout, facts=SMALL, contiguous="m").check(1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [float32, bfloat16])
def test_slices_of_shared_copies(layout, dtype, monkeypatch):
    monkeypatch.setattr(blocking, "_CHUNK_PRODUCTS", 40)
    for shape in ((1, 20, 21, 40), (2, 9, 17, 31), (1, 33, 9, 50)):
        product = Product(shape, layout, dtype, SLICED)
        # Rows of pairs may be read where they are.
        assert len(product.pieces) == 3 - ("_rows" not in str(product.pieces))
        product.check(2e-2 if dtype is bfloat16 else 1e-6)


def test_each_element_is_finished_once():
    for shape in (*SHAPES, (1, 20, 21, 40)):
        product = Product(shape, "ko", float32, SMALL, count=True)
        assert (product.run(*product.numbers(), start=5) == 6).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("facts", [SMALL, SLICED])
def test_infinities_and_nans_are_those_of_float32(layout, facts, monkeypatch):
    """Their parts would be nan: what they touch is computed without tiles."""
    monkeypatch.setattr(blocking, "_CHUNK_PRODUCTS", 40)
    product = Product((2, 9, 17, 33), layout, facts=facts)
    x, y = product.numbers()
    x[0, 0, 0], x[1, -1, -1], y[1, 0, 0] = np.inf, -np.inf, np.nan
    np.testing.assert_allclose(
        product.run(x, y), product.expected(x, y), rtol=1e-3, atol=1e-4
    )


def test_bfloat16_products_do_not_depend_on_precision():
    texts = {
        to_text(Product((1, 9, 9, 9), "kk", bfloat16, SMALL, precision=p).kernels[-1])
        for p in ("highest", "high", "fast")
    }
    assert len(texts) == 1


def test_fast_rounds_operands_and_nothing_else():
    product = Product((1, 20, 33, 40), facts=AMX, precision="fast")
    x, y = product.numbers()
    short = [a.astype(ml_dtypes.bfloat16).astype(np.float32) for a in (x, y)]
    got = product.run(x, y, call=run)
    np.testing.assert_allclose(got, product.expected(*short), atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_machine_code(layout):
    """The code, with tiles in software, does just what Loop IR says."""
    for shape, dtype, precision in (
        ((1, 45, 46, 70), float32, "highest"),
        ((2, 33, 50, 31), float32, "high"),
        ((1, 5, 17, 70), bfloat16, "highest"),
        ((1, 40, 33, 44), float16, "highest"),
    ):
        product = Product(shape, layout, dtype, AMX, precision=precision)
        x, y = product.numbers()
        np.testing.assert_array_equal(product.run(x, y, call=run), product.run(x, y))


def test_machine_code_of_several_chunks(monkeypatch):
    monkeypatch.setattr(blocking, "_CHUNK_PRODUCTS", 1000)
    product = Product((1, 100, 90, 150), "ok", facts=replace(AMX, l2=1 << 16))
    assert len(product.pieces) == 3
    product.check(1e-6, call=run)


# Errors


def exponents(low, high):
    def numbers(random, *shape):
        size = np.exp2(random.integers(low, high, shape))
        return random.choice([-1, 1], shape) * random.uniform(1, 2, shape) * size

    return numbers


def normal(size=1.0):
    return lambda random, *shape: random.standard_normal(shape) * size


def weights(random, rows, columns):
    """Softmax of numbers far apart: most are tiny, many are denormal."""
    powers = np.exp(-110 * random.random((rows, columns)) ** 2)
    return powers / powers.sum(1, keepdims=True)


def rows_apart(random, rows, columns):
    return normal()(random, rows, columns) * exponents(-120, 60)(random, rows, 1)


def cancelling(random, rows, columns):
    """The second half of each row is the first one, nearly."""
    half = normal()(random, rows, columns // 2)
    return np.concatenate([half, half * (1 + 1e-6 * normal()(random, *half.shape))], 1)


def opposite(random, rows, columns):
    half = normal()(random, rows, columns // 2)
    return np.concatenate([half, -half], 1)


KINDS = {
    "uniform": (lambda random, *shape: random.random(shape),) * 2,
    "normal": (normal(), normal()),
    "exponents from -30 to 30": (exponents(-30, 30),) * 2,
    "exponents from -60 to 60": (exponents(-60, 60),) * 2,
    "cancellation": (cancelling, opposite),
    "2**100 by 2**-100": (normal(2.0**100), normal(2.0**-100)),
    "2**127 by 2**-20": (
        lambda random, *shape: random.uniform(1.99, 2, shape) * 2.0**126,
        normal(2.0**-20),
    ),
    "denormal by 2**100": (normal(2.0**-130), normal(2.0**100)),
    "denormal results": (normal(2.0**-70), normal(2.0**-70)),
    "softmax": (weights, normal()),
    "rows from 2**-120 to 2**60": (rows_apart, normal()),
}
WAYS = {
    "plain": (PLAIN, "highest"),
    "highest": (AMX, "highest"),
    "high": (AMX, "high"),
    "fast": (AMX, "fast"),
}


def errors(kind, k, way, m=32, n=64):
    """Return the errors of a product's elements in units of 2**-24, relative to the sum
    of the magnitudes of their terms: the largest, and the root of the mean square.
    """
    random = np.random.default_rng(k)
    first, second = KINDS[kind]
    x = first(random, m, k).astype(np.float32)[None]
    y = second(random, n, k).astype(np.float32)[None]
    facts, precision = WAYS[way]
    product = Product((1, m, n, k), "kk", facts=facts, precision=precision)
    got = product.run(x, y, call=run)
    exact = product.expected(x, y, np.longdouble)
    size = product.expected(abs(x), abs(y), np.longdouble)
    found = abs(got - exact) / size * 2.0**24
    return float(found.max()), float(np.sqrt(np.mean(found**2)))


@pytest.mark.parametrize("kind", KINDS)
def test_highest_is_as_exact_as_plain_float32(kind):
    for k in (64, 500):
        plain, tiles = errors(kind, k, "plain"), errors(kind, k, "highest")
        assert tiles[0] <= plain[0]
        assert tiles[1] <= plain[1]


@pytest.mark.parametrize("kind", KINDS)
def test_high_is_exact_to_16_bits(kind):
    bound = 2.0 ** (24 - 15)
    if kind == "denormal results":
        # No product of this size is exact: two of 2**-150 are a unit each.
        bound = errors(kind, 64, "plain")[0]
    assert errors(kind, 64, "high")[0] <= bound


def test_errors_are_those_of_the_design_note():
    assert 0.5 < errors("normal", 256, "plain")[0] < 5
    assert errors("normal", 256, "highest")[0] < 1
    assert 5 < errors("normal", 256, "high")[0] < 60
    assert 3000 < errors("normal", 256, "fast")[0] < 40_000


# What is on tiles, and how its code looks


def test_what_pays_is_on_tiles():
    def wants(shape, dtype=float32, precision="highest", facts=AMX):
        one = Operand(lambda *_: None, dtype, shape[3], 1, 0)
        contraction = Contraction(Shape(*shape), dtype, precision)
        return wants_tiles(contraction, one, one, facts)

    assert wants((1, 256, 256, 256))
    assert wants((1, 128, 128, 784))
    assert not wants((1, 64, 10, 128))
    assert not wants((1, 1, 128, 784))
    assert wants((1, 64, 64, 128), precision="high")
    assert wants((1, 64, 32, 128), bfloat16)
    assert wants((1, 128, 128, 256), float16)
    assert not wants((1, 256, 256, 256), facts=PLAIN)
    assert not wants((1, 256, 256, 256), float64)
    assert not wants((1, 256, 256, 1 << 25))


def kernel_text(dtype, precision="highest"):
    product = Product((1, 256, 256, 256), "ko", dtype, facts_of(named("amx")),
                      precision=precision)  # fmt: skip
    return assembly(emit(product.kernels[-1], named("amx")), named("amx"))


@pytest.mark.parametrize(
    ("dtype", "precision", "loads", "products"),
    [(bfloat16, "highest", [4], [4]), (float32, "fast", [4], [4]),
     (float32, "high", [8], [12]), (float32, "highest", [12, 4], [20, 4])],
)  # fmt: skip
def test_inner_loops_are_tight(dtype, precision, loads, products):
    """Loads of tiles, their products, and addresses: sums stay in their registers."""
    lines = [x.strip() for x in kernel_text(dtype, precision).splitlines()]
    places = {line[:-1]: n for n, line in enumerate(lines) if line.endswith(":")}
    found = []
    for n, line in enumerate(lines):
        start = places.get(line.split()[-1], n) if line.startswith("j") else n
        body = lines[start:n]
        inside = sum("tdpbf16ps" in x for x in body)
        if inside and not any(x.endswith(":") for x in body[1:]):
            found.append((sum("tileloadd" in x for x in body), inside))
            assert not any("%rsp" in x or "%zmm" in x for x in body)
            assert len(body) < 2.6 * sum(found[-1])
    assert found == list(zip(loads, products, strict=True))
    assert sum("tilestored" in line for line in lines) == 4
    assert [x for x in lines if "tilecfg" in x or "release" in x] == [
        "ldtilecfg\t.Ltiles(%rip)", "tilerelease",
    ]  # fmt: skip
