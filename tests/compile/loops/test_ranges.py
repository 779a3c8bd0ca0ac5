"""What is known of indices is true: ranges, forms, and proofs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.compile.loops.grammar import Buffer, Constant, Load, Operation, Variable
from plait.compile.loops.interpret import apply
from plait.compile.loops.linear import add, constant
from plait.compile.loops.ranges import HIGH, LOW, Forms
from plait.compile.loops.traverse import ordered
from plait.dtypes import bool_, int32, int64, uint8

i, j, k = Variable("i"), Variable("j"), Variable("k")
EXTENTS = {"i": 8, "j": 64, "k": 3}
TABLE = Buffer("table", int64, 4)
BYTES = Buffer("bytes", uint8, 4)


def known(*expressions, facts=()):
    """Return the forms of a place, and what is known of expressions there."""
    forms = Forms()
    for name, extent in EXTENTS.items():
        forms.names[name] = forms.variable(Variable(name), 0, extent - 1)
    forms.begin(ordered(facts))
    for fact in facts:
        forms.facts.extend(forms.truth(fact).if_true)
    forms.begin(ordered(expressions))
    return forms, [forms.of(expression) for expression in expressions]


def op(name, *operands, dtype=int64):
    operands = [x if not isinstance(x, int) else Constant(x, int64) for x in operands]
    return Operation(name, operands, dtype)


def opaque(x, y):
    """Return x + y, without the shortcuts of the grammar's operators."""
    return op("add", x, y)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((i * 64 + j) // 64, i),
        ((i * 64 + j) % 64, j),
        ((i * 64 + j) // 32, i * 2 + j // 32),
        ((i * 64 + j) // 128, i // 2),
        ((i * 64 + j) % 128, i % 2 * 64 + j),
        ((i * 64 + j + 64) // 64, i + 1),
        ((i * 64 - 1 - j) // 64, i - 1),
        (i * 4 // 8, i // 2),
        (j // 2 // 4, j // 8),
        (((j // 2) + 1) // 4, (j + 2) // 8),
        (j % 12 % 4, j % 4),
        ((j % 12 + j * 2) % 4, j * 3 % 4),
        (j % 12 // 4, j // 4 % 3),
        (j // 8 * 8 + j % 8, j),
        (i * 64 + (i + j) // 8 * 8 + (i + j) % 8 - j, i * 65),
        (j // 32 * 32 + j // 8 % 4 * 8 + j % 8, j),
        (i + j - i, j),
        ((i + j) * 3 - j * 3, i * 3),
        (op("minimum", i, 7), i),
        (op("minimum", i, j + 8), i),
        (op("maximum", i, 7), Constant(7, int64)),
        (op("select", i < 8, i, j), i),
        (op("select", i < 4, j, j), j),
        (op("negative", i) + i, Constant(0, int64)),
        (op("cast", op("cast", i, dtype=int64)), i),
        (i * j, j * i),
    ],
)
def test_equal_sums_have_one_form(x, y):
    assert len(set(known(x, y)[1])) == 1


@pytest.mark.parametrize(
    "x", [i // 3, i % 3, j // 8, op("minimum", i, 4), i * i, op("cast", i < 4)]
)
def test_other_sums_have_other_forms(x):
    _, (form, of_i, of_j) = known(x, i, j)
    assert form not in (of_i, of_j)


@pytest.mark.parametrize(
    ("x", "low", "high"),
    [
        (i * 64 + j, 0, 511),
        (5 - i, -2, 5),
        (i - j, -63, 7),
        ((i - 3) // 4, -1, 1),
        ((i - 3) % 5, 0, 4),
        (op("minimum", i, j - 60), -60, 3),
        (op("maximum", i, j - 60), 0, 7),
        (i * (j - 1), -7, 434),
        (j // (i + 1), 0, 63),
        (j % (i + 1), 0, 7),
        (j // i, LOW, HIGH),
        (Load(TABLE, i), LOW, HIGH),
        (op("minimum", op("maximum", Load(TABLE, i), 0), 3), 0, 3),
        (Load(TABLE, i) % 5, 0, 4),
        (op("cast", Load(BYTES, i)), 0, 255),
        (op("cast", i < 4), 0, 1),
        (op("cast", op("minimum", op("cast", i, dtype=int32),
                       Constant(3, int32), dtype=int32)), 0, 3),
        (op("select", i < 4, i, j - 100), -100, 7),
        (op("bitwise_and", i, j), LOW, HIGH),
    ],
)  # fmt: skip
def test_ranges(x, low, high):
    forms, (form,) = known(x)
    assert forms.within(form) == (low, high)


def test_what_may_wrap_around_is_not_known():
    forms, (form, divided) = known(Load(TABLE, i) + 1, (Load(TABLE, i) + 1) // 4)
    assert not forms.fits(form)
    assert forms.within(form) == (LOW, HIGH)
    assert forms.within(divided) == (LOW // 4, HIGH // 4)


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (i < 8, True), (i < 7, None), (i < 0, False), (i <= 7, True), (j <= i, None),
        (j - j < 1, True), (op("equal", i, 9, dtype=bool_), False),
        (op("equal", i, 3, dtype=bool_), None),
        (op("not_equal", i, 9, dtype=bool_), True),
        (op("bitwise_and", i < 8, i < 7, dtype=bool_), None),
        (op("bitwise_and", i < 0, i < 7, dtype=bool_), False),
        (op("bitwise_or", i < 8, i < 7, dtype=bool_), True),
        (op("bitwise_invert", i < 8, dtype=bool_), False),
        # It may wrap around, and so be smaller.
        (Load(TABLE, i) < Load(TABLE, i) + 1, None),
    ],
)  # fmt: skip
def test_conditions(condition, truth):
    assert known(condition)[1][0].known is truth


@pytest.mark.parametrize(
    ("facts", "x", "holds"),
    [
        ([], 7 - i, True),
        ([], 6 - i, False),
        ([i * 4 + k < 20], 19 - i * 4 - k, True),
        # An index of a row and column, each in bounds.
        ([i * 10 + k < 6, j < 37], 6 * 37 - 1 - (i * 10 + k) * 37 - j, True),
        ([i * 10 + k < 6, j < 38], 6 * 37 - 1 - (i * 10 + k) * 37 - j, False),
        ([op("bitwise_and", i < 2, k < 2, dtype=bool_)], 2 - i - k, True),
        ([op("bitwise_or", i < 2, k < 2, dtype=bool_)], 2 - i - k, False),
        ([op("bitwise_invert", i < 2, dtype=bool_)], i - 2, True),
        ([op("equal", i, 3, dtype=bool_)], 3 - i, True),
        ([op("equal", i, 3, dtype=bool_)], i - 3, True),
        # k < min(64, 8 - i) makes i + k < 8.
        ([k < op("minimum", 2, 8 - i)], 7 - i - k, True),
        ([], j - j // 8 * 8, True),
        ([], 7 + j // 8 * 8 - j, True),
    ],
)
def test_proofs(facts, x, holds):
    forms, (form,) = known(x, facts=facts)
    assert forms.holds(form) is holds


def test_loads_of_two_statements_are_not_the_same():
    load = Load(TABLE, 0)
    forms = Forms()
    first = forms.begin(ordered([load]))
    before = forms.form(load)
    assert forms.range(add(before, forms.form(load), -1)) == (0, 0)
    forms.end(first)
    forms.begin(ordered([load]))
    assert forms.form(load) != before


def test_long_sums_are_cut():
    forms = Forms()
    names = [Variable(f"n{number}") for number in range(3000)]
    for name in names:
        forms.names[name.name] = forms.variable(name, 0, 1)
    total = names[0]
    for name in names[1:]:
        total = total + name
    forms.begin(ordered([total]))
    assert forms.within(forms.form(total)) == (0, 3000)


# --- random expressions

LEAVES = st.sampled_from([i, j, k]) | st.integers(-70, 70).map(
    lambda number: Constant(number, int64)
)


def grown(parts):
    binary = st.sampled_from(["add", "subtract", "multiply", "minimum", "maximum"])
    divisors = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 32, 64, 128, 0, -4])
    return st.one_of(
        st.builds(lambda name, x, y: op(name, x, y), binary, parts, parts),
        st.builds(lambda x, n: op("multiply", x, n), parts, divisors),
        st.builds(lambda x, n: op("floor_divide", x, n), parts, divisors),
        st.builds(lambda x, n: op("remainder", x, n), parts, divisors),
        st.builds(lambda x, y: op("remainder", x, y), parts, parts),
        st.builds(lambda x, y: op("floor_divide", x, y), parts, parts),
        st.builds(lambda x, y, z: op("select", x <= y, x, z), parts, parts, parts),
        st.builds(lambda x, y: op("cast", x < y), parts, parts),
    )


INDICES = st.recursive(LEAVES, grown, max_leaves=12)


def grid():
    axes = np.meshgrid(*(np.arange(n) for n in EXTENTS.values()), indexing="ij")
    return dict(zip(EXTENTS, (axis.ravel() for axis in axes), strict=True))


GRID = grid()


def values_of(expression):
    """Return the values of all parts of an expression, by id, on the grid."""
    values = {}
    with np.errstate(all="ignore"):
        for node in ordered([expression]):
            if isinstance(node, Variable):
                values[id(node)] = GRID[node.name]
            elif isinstance(node, Constant):
                values[id(node)] = np.int64(node.value)
            else:
                operands = [values[id(x)] for x in node.operands]
                values[id(node)] = apply(node.name, operands, node.dtype)
    return values


@given(INDICES)
@settings(max_examples=150, deadline=None)
def test_values_lie_in_their_ranges(expression):
    forms, _ = known(expression)
    values = values_of(expression)
    for node in ordered([expression]):
        if node.dtype is bool_:
            truth = forms.truth(node).known
            assert truth is None or np.all(values[id(node)] == truth)
        else:
            low, high = forms.within(forms.form(node))
            assert low <= values[id(node)].min()
            assert values[id(node)].max() <= high


@given(INDICES, INDICES, INDICES)
@settings(max_examples=100, deadline=None)
def test_proofs_are_right(a, b, x):
    forms, (form,) = known(x, facts=[a <= b])
    if forms.fits(form) and forms.holds(form):
        true = values_of(a)[id(a)] <= values_of(b)[id(b)]
        value = values_of(x)[id(x)]
        assert np.all((value >= 0) | ~true)


def test_constants_are_forms():
    assert add(constant(3), constant(4), -2) == constant(-5)
