"""Functions written out in operations: their error, special values, and the pass."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.compile.loops.functions import (
    BOUNDS,
    FUNCTIONS,
    coefficients,
    expand,
    expand_functions,
)
from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    For,
    Get,
    If,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from plait.compile.loops.interpret import interpret
from plait.compile.loops.operations import OPERATIONS
from plait.compile.loops.signature import FUNCTIONS as NAMED
from plait.compile.loops.traverse import ordered, roots
from plait.dtypes import (
    INTEGERS,
    as_dtype,
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
)
from plait.ops.catalogue import PRIMITIVES

from .vectors import call, evaluate, write_out

PRIMITIVE = {primitive.name: primitive for primitive in PRIMITIVES}
EXACT = [name for name, bound in BOUNDS.items() if bound.float32 == 0]
ROUNDED = [name for name in FUNCTIONS if name not in EXACT]
BOTH = [np.float32, np.float64]
COUNT = 20_000  # of float32; of float64, mpmath works out fewer
inf, nan = np.inf, np.nan

# In float64, for float32, and in many digits.
TRUTH = {
    "exp": (np.exp, mp.exp),
    "expm1": (np.expm1, mp.expm1),
    "sigmoid": (scipy.special.expit, lambda x: 1 / (1 + mp.exp(-x))),
    "tanh": (np.tanh, mp.tanh),
    "sinh": (np.sinh, mp.sinh),
    "cosh": (np.cosh, mp.cosh),
    "log": (np.log, mp.log),
    "log1p": (np.log1p, mp.log1p),
    "asinh": (np.arcsinh, mp.asinh),
    "acosh": (np.arccosh, mp.acosh),
    "atanh": (np.arctanh, mp.atanh),
    "power": (np.power, mp.power),
    "sin": (np.sin, mp.sin),
    "cos": (np.cos, mp.cos),
    "tan": (np.tan, mp.tan),
    "asin": (np.arcsin, mp.asin),
    "acos": (np.arccos, mp.acos),
    "atan": (np.arctan, mp.atan),
    "atan2": (np.arctan2, mp.atan2),
    "erf": (scipy.special.erf, mp.erf),
    "erfc": (scipy.special.erfc, mp.erfc),
    "erfinv": (scipy.special.erfinv, mp.erfinv),
    "lgamma": (scipy.special.gammaln, lambda x: mp.log(abs(mp.gamma(x)))),
    "digamma": (scipy.special.digamma, mp.digamma),
}


def samples(name, dtype, count):
    """Return operands all over the range where the function is not constant."""
    rng = np.random.default_rng(0)
    single = dtype == np.float32
    least, most = (-45, 38) if single else (-320, 307)
    part = count // 4

    def linear(low, high):
        return rng.uniform(low, high, part)

    def sizes(low, high):
        return 10 ** rng.uniform(low, high, part) * rng.choice([-1, 1], part)

    exponents = (-110, 89) if single else (-750, 709.5)
    both = (-89.3, 89.3) if single else (-710.3, 710.3)
    small = [linear(-1, 1), sizes(least, 0)]
    angles = [linear(-4, 4), linear(-1e5, 1e5), sizes(least, most), sizes(0, most)]
    gamma = [linear(0, 20), linear(-10, 0), linear(0.5, 3), np.abs(sizes(-30, 30))]
    by_name = {
        "exp": [linear(*exponents), *small],
        "expm1": [linear(-45, both[1] - 1), linear(-2, 2), *small],
        "sigmoid": [linear(*exponents), linear(-5, 5), *small],
        "tanh": [linear(-22, 22), linear(-10, 10), *small],
        "sinh": [linear(*both), linear(-2, 2), *small],
        "cosh": [linear(*both), linear(-2, 2), *small],
        "log": [
            np.abs(sizes(least, most)), linear(0.5, 2), linear(0, 10), 1 + sizes(-8, -1)
        ],
        "log1p": [np.abs(sizes(0, most)), linear(-0.999, 2), *small],
        "acosh": [linear(1, 2), linear(1, 10), 1 + np.abs(sizes(-8, most))],
        "atanh": small,
        "asin": small,
        "acos": [*small, 1 - np.abs(sizes(-8, 0))],
        "sin": angles,
        "cos": angles,
        "tan": angles,
        "erf": [linear(-5, 5), *small],
        "erfc": [linear(-5, 10 if single else 26.5), linear(0, 4), *small],
        "erfinv": [*small, 1 - np.abs(sizes(-15, 0))],
        "lgamma": gamma,
        "digamma": gamma,
        "power": [np.abs(sizes(-10, 10)), linear(0.5, 2)],
        "atan2": [linear(-4, 4), sizes(least, most), linear(-1e3, 1e3)],
    }  # fmt: skip
    default = [linear(-4, 4), sizes(least, most), linear(-1e3, 1e3)]
    x = np.concatenate(by_name.get(name, default)).astype(dtype)
    x = x[np.isfinite(x)]
    if name == "power":
        steep = np.maximum(np.abs(np.log(x.astype(float))), 0.01)
        most = 88 if single else 707
        return x, (rng.uniform(-most, most, x.size) / steep).astype(dtype)
    if FUNCTIONS[name].operands == 2:
        return x, rng.permutation(x)
    return (x,)


def in_digits(function, arrays):
    """Return the function, worked out with mpmath, as float64 and a rest."""
    high, low = [], []
    with mp.workprec(140):
        for numbers in zip(*(array.tolist() for array in arrays), strict=True):
            value = function(*(mp.mpf(number) for number in numbers))
            high.append(float(value))
            low.append(float(value - mp.mpf(high[-1])))
    return np.array(high), np.array(low)


def units(name, got, expected, rest=0.0):
    """Return the error of each in units in the last place of what is expected."""
    with np.errstate(all="ignore"):
        target = expected.astype(got.dtype)
        least = got.dtype.type(BOUNDS[name].floor)
        unit = np.spacing(np.maximum(np.abs(target), least))
        error = np.abs((got.astype(np.float64) - expected) - rest) / unit
    return np.where(got == target, 0, error)


@pytest.mark.parametrize("fma", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("name", ROUNDED)
def test_error_float32(name, fma):
    x = samples(name, np.float32, COUNT)
    with np.errstate(all="ignore"):
        expected = TRUTH[name][0](*(v.astype(np.float64) for v in x))
    got = call(name, *x, fma=fma)
    assert got.dtype == np.float32
    assert units(name, got, expected).max() <= BOUNDS[name].float32


@pytest.mark.parametrize("name", ROUNDED)
def test_error_float64(name):
    x = samples(name, np.float64, 800)
    expected, rest = in_digits(TRUTH[name][1], x)
    for fma in (True, False):
        got = call(name, *x, fma=fma)
        assert got.dtype == np.float64
        assert units(name, got, expected, rest).max() <= BOUNDS[name].float64


def edges(dtype):
    limits = np.finfo(dtype)
    positive = [
        *(0, limits.smallest_subnormal, limits.tiny / 3, limits.tiny, 1e-30),
        *(limits.eps, 1 / 3, 0.5, 0.7, 1 - limits.eps / 2, 1, 1 + limits.eps),
        *(1.5, 2, 2.5, 3, 4, 9.01, 20, 40, 87.5, 88.7, 89.3, 103.5, 104.5),
        *(709.5, 710.3, 745, 746, 1e5, 1e10, 1e30, limits.max, inf),
    ]
    return np.array([*positive, *(-x for x in positive), nan], dtype)


def edge_operands(name, dtype):
    x = edges(dtype)
    if FUNCTIONS[name].operands == 1:
        return (x,)
    return tuple(np.ascontiguousarray(v.ravel()) for v in np.meshgrid(x, x))


@pytest.mark.parametrize("fma", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, dtype, fma):
    x = edge_operands(name, dtype)
    with np.errstate(all="ignore"):
        expected = PRIMITIVE[name].reference(*x)
        got = np.broadcast_to(call(name, *x, fma=fma), expected.shape)
        if name == "remainder" and dtype == np.float64:
            # Beyond the stated quotient the rest is 0; see below.
            kept = np.abs(x[0] / x[1]) < 2.0**500
            kept |= ~np.isfinite(x[0]) | ~np.isfinite(x[1]) | (x[1] == 0)
            got, expected = got[kept], expected[kept]
    assert got.dtype == expected.dtype
    if expected.dtype == bool or name in EXACT:
        np.testing.assert_array_equal(got, expected)
    else:
        # The references themselves are off by a few units, and so is at the least
        # number the sine in one of them.
        both_nan = np.isnan(got) & np.isnan(expected)
        with np.errstate(all="ignore"):
            good = both_nan | (units(name, got, expected.astype(float)) <= 10)
            if name == "lgamma":
                good |= np.abs(got - expected) <= 1e-4 * np.abs(expected)
        assert good.all(), [v[~good] for v in (*x, got, expected)]
    if expected.dtype != bool:
        kept = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[kept]), np.signbit(expected[kept]))


def test_every_function_is_there():
    assert set(NAMED) <= set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        arity = FUNCTIONS[name].operands
        variables = [Variable(f"x{k}", float32) for k in range(arity)]
        lets, value = write_out(name, variables)
        for expression in (*(let.value for let in lets), value):
            for node in ordered([expression]):
                if isinstance(node, Operation):
                    assert node.name in OPERATIONS
                    kinds = OPERATIONS[node.name].kinds
                    assert node.operands[-1].dtype.kind in kinds
        assert function.write.__doc__ or name == "power"


@pytest.mark.parametrize("dtype", [float32, float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_worked_out_twice(name, dtype):
    """What is used several times has a name, and every name is used."""
    for fma in (True, False):
        variables = [Variable(f"x{k}", dtype) for k in range(FUNCTIONS[name].operands)]
        lets, value = write_out(name, variables, fma)
        seen, used = set(), set()
        for expression in (*(let.value for let in lets), value):
            stack = [expression]
            while stack:
                node = stack.pop()
                if isinstance(node, Operation):
                    assert id(node) not in seen, node.name
                    seen.add(id(node))
                    stack += node.operands
                elif isinstance(node, Variable):
                    used.add(node.name)
        assert used >= {let.variable.name for let in lets}


def count(name, dtype):
    variables = [Variable(f"x{k}", dtype) for k in range(FUNCTIONS[name].operands)]
    lets, value = write_out(name, variables)
    nodes = [n for e in (*(let.value for let in lets), value) for n in ordered([e])]
    return sum(isinstance(n, Operation) and n.name != "bitcast" for n in nodes)


@pytest.mark.parametrize(
    ("name", "most"),
    [("exp", 17), ("expm1", 20), ("sigmoid", 22), ("tanh", 21), ("log", 32),
     ("erf", 31), ("sin", 48)],
)  # fmt: skip
def test_functions_of_networks_are_short(name, most):
    assert count(name, float32) <= most


@pytest.mark.parametrize("fma", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "sin", "cos"])
def test_bounded(name, fma):
    """Not even rounding takes them beyond 1."""
    x = np.concatenate([np.linspace(-25, 25, 100_001), np.linspace(3, 4, 100_001)])
    for dtype in BOTH:
        assert np.abs(call(name, x.astype(dtype), fma=fma)).max() <= 1


def test_large_angles():
    # Those nearest to multiples of pi / 2 (J.-M. Muller, Elementary Functions, 11.2).
    hardest = np.array([6381956970095103 * 2.0**797, 16367173 * 2.0**72])
    for fma in (True, False):
        for x in (hardest, hardest[1:].astype(np.float32)):
            for name in ("sin", "cos", "tan"):
                expected, rest = in_digits(_precisely(name), [x.astype(np.float64)])
                error = units(name, call(name, x, fma=fma), expected, rest)
                assert error.max() <= BOUNDS[name].float32


def _precisely(name):
    def function(x):
        with mp.workprec(1400):
            return getattr(mp, name)(x)

    return function


# Exact functions


@pytest.mark.parametrize("fma", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", EXACT)
def test_exact(name, dtype, fma):
    rng = np.random.default_rng(2)
    most = 37 if dtype == np.float32 else 70
    x, y = (10 ** rng.uniform(-most, most, 6000) for _ in range(2))
    y[:2000] = x[:2000] * 10 ** rng.uniform(-30, 1, 2000)
    x, y = (v * rng.choice([-1, 1], v.size) for v in (x, y))
    x[4000:], y[4000:] = rng.integers(-50, 50, 2000), rng.integers(-7, 7, 2000)
    arrays = [v.astype(dtype) for v in (x, y)][: FUNCTIONS[name].operands]
    with np.errstate(all="ignore"):
        expected = PRIMITIVE[name].reference(*arrays)
    got = call(name, *arrays, fma=fma)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_remainder_is_in_range_beyond_its_quotients():
    x, y = np.array([1e300, -1e300, 3.0]), np.array([1e-300, 1e-10, 5e-324])
    for fma in (True, False):
        np.testing.assert_array_equal(call("remainder", x, y, fma=fma), 0.0)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.name)
def test_integers(dtype):
    limits = np.iinfo(dtype.numpy)
    x = [limits.min, -7, -2, -1, 0, 1, 2, 3, 10, limits.max]
    x = np.array([v for v in x if v >= limits.min], dtype.numpy)
    y = [limits.min, -3, -2, -1, 0, 1, 2, 3, 5, 63, 64, 100, limits.max]
    y = np.array([v for v in y if v >= limits.min], dtype.numpy)
    x_all, y_all = (v.ravel().copy() for v in np.meshgrid(x, y))
    with np.errstate(all="ignore"):
        expected = PRIMITIVE["power"].reference(x_all, y_all)
    np.testing.assert_array_equal(call("power", x_all, y_all), expected)
    for exponent in y:
        variable, known = Variable("x", dtype), Constant(int(exponent), dtype)
        lets, value = write_out("power", [variable, known])
        with np.errstate(all="ignore"):
            expected = PRIMITIVE["power"].reference(x, np.full_like(x, exponent))
        got = np.broadcast_to(evaluate(lets, value, {"x": x}), x.shape)
        np.testing.assert_array_equal(got, expected)
    expected = PRIMITIVE["sign"].reference(x)
    np.testing.assert_array_equal(call("sign", x), expected)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("exponent", [-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4])
def test_powers_known_now(exponent, dtype):
    variable, known = Variable("x", as_dtype(dtype)), Constant(
        float(exponent), as_dtype(dtype)
    )  # fmt: skip
    lets, value = write_out("power", [variable, known])
    x = np.concatenate([edges(dtype), samples("exp", dtype, 400)[0]])
    with np.errstate(all="ignore"):
        got = np.broadcast_to(evaluate(lets, value, {"x": x}), x.shape)
        expected = PRIMITIVE["power"].reference(x, np.full_like(x, exponent))
        error = units("power", got, expected.astype(float))
    error[np.isnan(got) & np.isnan(expected)] = 0
    assert error.max() <= 3  # the reference may itself be off by one


@pytest.mark.parametrize("dtype", BOTH)
def test_powers_of_two(dtype):
    lets, value = write_out(
        "power", [Constant(2.0, as_dtype(dtype)), Variable("y", as_dtype(dtype))]
    )
    most = 151 if dtype == np.float32 else 1076
    y = np.concatenate([edges(dtype), np.linspace(-most, most, 999).astype(dtype)])
    with np.errstate(all="ignore"):
        got, expected = evaluate(lets, value, {"y": y}), np.power(dtype(2), y)
        error = units("power", got, expected.astype(float))
    error[np.isnan(got) & np.isnan(expected)] = 0
    assert error.max() <= 2
    whole = y == np.rint(y)
    np.testing.assert_array_equal(got[whole], expected[whole])


def test_halves_are_refused():
    with pytest.raises(errors.DTypeError, match="32 bits or more"):
        expand("exp", [Variable("x", float16)], lambda value: Variable("y"))


# The pass


def functions_in(body):
    for statement in body:
        for node in ordered(roots(statement)):
            name = getattr(node, "name", None)
            if isinstance(node, Operation) and name in FUNCTIONS:
                yield from [name] * (name not in OPERATIONS or node.dtype.is_float)
        for inner in ("body", "otherwise"):
            yield from functions_in(getattr(statement, inner, ()))


def op(name, *operands):
    return Operation(name, operands)


def test_pass():
    x = Buffer("x", float32, 24)
    y = Buffer("y", float32, 24, "out")
    i, lane = Variable("i"), Variable("lane")
    total = Registers("total", float32, 1, 8)
    element = Load(x, i * 8 + lane)
    shared = op("exp", element)
    last = op("tanh", op("add", op("log", shared), op("multiply", shared, element)))
    few = op("less", i * 8, Constant(16, int64))
    few = Operation("less", (i, Constant(2, int64)), bool_)
    again = Operation("remainder", (i, Constant(3, int64)), int64)
    body = [
        total,
        For(i, 3, [
            If(few, [
                Vector(lane, 8, 8, [
                    Set(total, 0, op("add", Get(total), op("sin", element))),
                    Store(y, i * 8 + lane, last),
                ]),
            ], [
                Vector(lane, 8, 8, [
                    Let(t := Variable("t", float32), op("sqrt", Get(total))),
                    Store(y, again * 8 + lane, op("sigmoid", t)),
                ]),
            ]),
        ]),
    ]  # fmt: skip
    kernel = Kernel("test", [x, y], body)
    done = expand_functions(kernel)
    assert list(functions_in(kernel.body))
    assert not list(functions_in(done.body))
    assert done.body[0] is total
    numbers = np.linspace(0.1, 1.5, 24).astype(np.float32)
    results = [np.zeros(24, np.float32) for _ in range(2)]
    interpret(kernel, [numbers, results[0]])
    interpret(done, [numbers, results[1]])
    np.testing.assert_allclose(*results, rtol=1e-6)
    # The element is loaded once for each of the statements that use it.
    vector = done.body[1].body[0].body[-1]
    loads = [
        node
        for statement in vector.body
        for node in ordered(roots(statement))
        if isinstance(node, Load)
    ]
    assert len(loads) == 2


def test_pass_keeps_what_has_no_functions():
    x, y = Buffer("x", int32, 8), Buffer("y", int32, 8, "out")
    lane = Variable("lane")
    quotient = op("floor_divide", Load(x, lane), Constant(3, int32))
    kernel = Kernel("test", [x, y], [Vector(lane, 8, 8, [Store(y, lane, quotient)])])
    assert expand_functions(kernel) is kernel


def test_pass_does_not_move_loads_over_stores():
    x = Buffer("x", float32, 1, "inout")
    element = Load(x, 0)
    twice = op("exp", element)
    kernel = Kernel("test", [x], [Store(x, 0, twice), Store(x, 0, twice)])
    array = np.array([0.5], np.float32)
    interpret(expand_functions(kernel), [array])
    np.testing.assert_allclose(array, np.exp(np.exp(0.5)), rtol=1e-6)


def test_names_are_unique():
    x, y = Buffer("x", float32, 4), Buffer("y", float32, 4, "out")
    i, j = Variable("i"), Variable("j")
    inner = [Store(y, j, op("log1p", op("exp", Load(x, j))))]
    body = [
        For(i, 4, [Store(y, i, op("exp", Load(x, i)))]),
        For(j, 4, inner),
    ]
    done = expand_functions(Kernel("test", [x, y], body))
    names = [
        statement.variable.name
        for statement in itertools.chain(*(loop.body for loop in done.body))
        if isinstance(statement, Let)
    ]
    assert len(names) == len(set(names)) > 10


# The tool


def test_coefficients_can_be_computed_again():
    path = Path(__file__).parents[3] / "tools" / "minimax.py"
    spec = importlib.util.spec_from_file_location("minimax", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    found, error = tool.fit(tool.TABLES["SINH"]["float32"], "float32")
    assert tuple(map(float, found)) == coefficients.SINH_FLOAT32
    assert error < 2.0**-31
    for name, tables in tool.TABLES.items():
        for dtype in tables:
            full = name if len(tables) == 1 else f"{name}_{dtype.upper()}"
            assert hasattr(coefficients, full)
