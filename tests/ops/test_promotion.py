"""Which element type two of them promote to.

Source of the tables: Array API standard 2024.12, "Type promotion rules".
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from plait import dtypes
from plait.dtypes import as_dtype, promote, promote_scalar
from plait.errors import ArgumentError, ArgumentTypeError, DTypeError
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import contract, elementwise, movement, operand, source

from .op_checks import interpret, value

SHORT = {
    "b": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64",
    "f2": "float16", "g2": "bfloat16", "f4": "float32", "f8": "float64",
}  # fmt: skip

# The tables of the standard, row by row. `-` is left undefined there.
STANDARD = """
     i1 i2 i4 i8
i1   i1 i2 i4 i8
i2   i2 i2 i4 i8
i4   i4 i4 i4 i8
i8   i8 i8 i8 i8

     u1 u2 u4 u8
u1   u1 u2 u4 u8
u2   u2 u2 u4 u8
u4   u4 u4 u4 u8
u8   u8 u8 u8 u8

     u1 u2 u4 u8
i1   i2 i4 i8 -
i2   i2 i4 i8 -
i4   i4 i4 i8 -
i8   i8 i8 i8 -

     f4 f8
f4   f4 f8
f8   f8 f8

     b
b    b
"""

# What plait adds, where the standard leaves it open: as PyTorch has it.
ADDED = """
     f2 g2 f4 f8
f2   f2 f4 f4 f8
g2   f4 g2 f4 f8
f4   f4 f4 f4 f8
f8   f8 f8 f8 f8

     f2 g2 f4 f8
b    f2 g2 f4 f8
i1   f2 g2 f4 f8
i2   f2 g2 f4 f8
i4   f2 g2 f4 f8
i8   f2 g2 f4 f8
u1   f2 g2 f4 f8
u2   f2 g2 f4 f8
u4   f2 g2 f4 f8
u8   f2 g2 f4 f8

     i1 i2 i4 i8 u1 u2 u4 u8
b    i1 i2 i4 i8 u1 u2 u4 u8
"""


def entries(tables):
    """Return (row, column, result) of each entry; the result is None for `-`."""
    found = []
    for table in tables.strip("\n").split("\n\n"):
        head, *rows = (line.split() for line in table.splitlines())
        for name, *results in rows:
            for column, result in zip(head, results, strict=True):
                found.append((SHORT[name], SHORT[column], SHORT.get(result)))
    return found


ENTRIES = entries(STANDARD) + entries(ADDED)


def test_the_tables_hold_every_pair():
    named = {frozenset(entry[:2]) for entry in ENTRIES}
    every = itertools.combinations_with_replacement(SHORT.values(), 2)
    assert named == {frozenset(pair) for pair in every}
    assert list(SHORT.values()) == [dtype.name for dtype in dtypes.ALL]


@pytest.mark.parametrize(("row", "column", "result"), ENTRIES)
def test_two_types_promote_as_the_table_says(row, column, result):
    for a, b in ((row, column), (column, row)):
        a, b = as_dtype(a), as_dtype(b)
        if result is None:
            with pytest.raises(DTypeError) as error:
                promote(a, b)
            assert error.value.message == (
                f"no integer type holds both. Got: {a.name} and {b.name}. "
                "Fix: cast one of them first, for example x.to(plait.int64)."
            )
        else:
            assert promote(a, b).name == result


def test_promotion_is_associative_where_it_is_defined():
    def joined(*names):
        try:
            result = names[0]
            for name in names[1:]:
                result = promote(result, name)
        except DTypeError:
            return None
        return result

    # float16 with bfloat16 is float32, so that a float joins the same in any order.
    for a, b, c in itertools.product(dtypes.ALL, repeat=3):
        found = {joined(*order) for order in itertools.permutations((a, b, c))}
        assert len(found - {None}) <= 1, (a, b, c, found)


# Python scalars yield to the type of a tensor, unless their kind is higher.
SCALARS = {True: "bool", 2: "int64", 2.5: "float32"}


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("scalar", SCALARS)
def test_a_scalar_yields(dtype, scalar):
    order = ("bool", "integer", "float")
    own = "integer" if dtype.is_integer else dtype.kind
    kind = {bool: "bool", int: "integer", float: "float"}[type(scalar)]
    expected = dtype
    if order.index(kind) > order.index(own):
        expected = as_dtype(SCALARS[scalar])
    assert promote_scalar(dtype, as_dtype(type(scalar))) is expected
    x = make_input((2,), dtype)
    weak = make_input((), as_dtype(type(scalar)), weak=True)
    for pair in ((x, scalar), (scalar, x), (x, weak), (weak, x)):
        assert operand.common_dtype(pair) is expected
        assert elementwise.equal(*pair).operands[0].dtype is expected


def test_scalars_alone_have_default_types():
    float_, integer, bool_ = (as_dtype(t) for t in (float, int, bool))
    for pair, expected in (
        ((1, 2), integer), ((1, 2.0), float_), ((True, 1), integer),
        ((True, False), bool_), ((True, 1.5), float_),
    ):  # fmt: skip
        assert operand.common_dtype(pair) is expected
        assert elementwise.equal(*pair).shape == ()


OPS = [
    elementwise.add,
    elementwise.multiply,
    elementwise.where,
    elementwise.maximum,
    lambda x, y: movement.concat([x, y]),
    contract.matmul,
    lambda x, y: contract.einsum("i,i->i", x, y),
]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("row", "column", "result"), entries(STANDARD))
def test_ops_promote(op, row, column, result):
    x, y = (make_input((2,), as_dtype(name)) for name in (row, column))
    if op is elementwise.where:
        condition = make_input((2,), dtypes.bool_)
        results = [lambda: op(condition, x, y)]
    else:
        results = [lambda: op(x, y)]
    numeric = op in (OPS[2], OPS[3], OPS[4])
    if result is None or (result == "bool" and not numeric):
        with pytest.raises(DTypeError):
            results[0]()
    else:
        assert results[0]().dtype.name == result


def test_division_of_integers_is_floating_point():
    for dtype in (dtypes.int8, dtypes.uint64, dtypes.bool_):
        x = make_input((2,), dtype)
        assert elementwise.divide(x, x).dtype is dtypes.default_float
        assert elementwise.sqrt(x).dtype is dtypes.default_float
    half = make_input((2,), dtypes.float16)
    assert elementwise.divide(half, 2).dtype is dtypes.float16


def test_a_number_that_does_not_fit_is_refused():
    x = make_input((2,), dtypes.uint8)
    with pytest.raises(ArgumentError) as error:
        elementwise.add(x, 256)
    assert error.value.message == (
        "the number does not fit in uint8. Got: 256. "
        "Fix: cast the tensor to a wider type first."
    )
    with pytest.raises(ArgumentError, match="an integer of 301 bits"):
        elementwise.add(make_input((2,), dtypes.int64), 1 << 300)
    with pytest.raises(ArgumentError, match="does not fit in float32"):
        elementwise.add(make_input((2,), dtypes.float32), 10**400)
    assert np.isinf(
        value(lambda x: elementwise.add(x, 1e300), np.zeros(2, np.float32))[0]
    )
    half = source.constant(1 << 20, dtypes.float16)
    assert interpret(Graph([], [half]), [])[0] == np.inf


@pytest.mark.parametrize("thing", ["1", None, [1, 2], 1j, np.zeros(2)])
def test_what_is_no_number_is_refused(thing):
    with pytest.raises(ArgumentTypeError, match=r"\[add\] an operand is neither"):
        elementwise.add(make_input((2,), dtypes.float32), thing)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (float, "float32"),
        (int, "int64"),
        (bool, "bool"),
        ("bfloat16", "bfloat16"),
        (np.float64, "float64"),
        (np.dtype(">i4"), "int32"),
        (dtypes.int8, "int8"),
    ],
)
def test_as_dtype(what, name):
    assert as_dtype(what).name == name


@pytest.mark.parametrize(
    "what", [complex, "complex64", "float", object, 3, None, "M8[s]"]
)
def test_what_is_no_dtype(what):
    with pytest.raises(DTypeError, match="not an element type that plait has"):
        as_dtype(what)
