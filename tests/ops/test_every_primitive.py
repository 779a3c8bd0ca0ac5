"""Every primitive, on every one of its samples, through every check.

The checks are in `checks.py`; `tools/primitive_table.py` prints what they find. The
last section gives them primitives with one fault each, to see that they find it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from plait.errors import DTypeError, GraphError, ShapeError
from plait.ir.build import PICK, apply, make_input, pick
from plait.ir.graph import Graph, TensorType
from plait.ir.primitive import Failure
from plait.ops import elementwise, factor, reduce, source
from plait.transform.batch import batch

from . import checks
from .oracles import ORACLES, DefinedBy
from .torch_table import TORCH

NAMES = [primitive.name for primitive in checks.PRIMITIVES]


def applicable(key):
    """Return the cases that a check applies to, as parameters."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=case.name)
            for primitive in checks.PRIMITIVES
            for case in checks.cases(primitive)
            if not checks.CHECKS[key].excuse(case)
        ],
    )


each_primitive = pytest.mark.parametrize("primitive", checks.PRIMITIVES, ids=NAMES)


# --- the checks of each sample


@applicable("reference")
def test_reference(case):
    checks.check_reference(case)


@applicable("dtypes")
def test_dtypes(case):
    checks.check_dtypes(case)


@applicable("gradient")
def test_gradient(case):
    checks.check_gradient(case)


@pytest.mark.skipif(
    bool(checks.CHECKS["torch"].missing), reason=checks.CHECKS["torch"].missing
)
@applicable("torch")
def test_torch(case):
    checks.check_torch(case)


@applicable("second")
def test_second_derivative(case):
    checks.check_second(case)


@applicable("jvp")
def test_jvp(case):
    checks.check_jvp(case)


@applicable("vmap")
def test_vmap(case):
    checks.check_vmap(case)


@applicable("text")
def test_text(case):
    checks.check_text(case)


@pytest.mark.parametrize(
    ("primitive", "failure"),
    [
        pytest.param(primitive, failure, id=f"{primitive.name}-{i}")
        for primitive in checks.PRIMITIVES
        for i, failure in enumerate(checks.failures(primitive))
    ],
)
def test_failure(primitive, failure):
    checks.check_failure(primitive, failure)


# --- the records


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@each_primitive
def test_the_record_is_complete(primitive):
    assert primitive.name == primitive.name.lower()
    assert primitive.source
    samples = list(primitive.samples())
    assert samples
    takes_operands = any(sample.operands for sample in samples)
    assert primitive.batch is not None or not takes_operands
    fails = bool(checks.failures(primitive))
    assert fails != (primitive.name in checks.CANNOT_FAIL)


@each_primitive
def test_samples_are_the_same_at_every_call(primitive):
    for one, other in zip(primitive.samples(), primitive.samples(), strict=True):
        for x, y in zip(one.operands, other.operands, strict=True):
            np.testing.assert_array_equal(x, y)


@each_primitive
def test_a_derivative_is_tested_where_there_is_one(primitive):
    cases = checks.cases(primitive)
    if any(not checks.excuse_jvp(case, smooth=False) for case in cases):
        assert any(not checks.excuse_jvp(case) for case in cases), "no smooth sample"


def test_tables_name_every_primitive():
    assert set(NAMES) == set(ORACLES)
    assert set(NAMES) == set(TORCH)
    for entry in [*ORACLES.values(), *TORCH.values()]:
        if isinstance(entry, DefinedBy):
            assert entry.reason
        assert entry


@pytest.mark.parametrize(
    "table",
    [
        checks.ULPS,
        checks.ANY_ZERO,
        checks.NO_REVERSE,
        checks.CANNOT_FAIL,
        checks.CONSTANT_OPERANDS,
        checks.NOT_AT_EXTREMES,
        checks.TORCH_FINITE,
        checks.TORCH_SMOOTH,
        checks.TORCH_TOLERANCE,
    ],
)
def test_exceptions_name_primitives_that_exist(table):
    assert set(table) <= set(NAMES)


def test_pick_selects_a_result():
    x = make_input((2, 3), checks.as_dtype("float64"), differentiable=True)
    q, r = (pick(apply(factor.QR, x, mode="reduced"), i) for i in range(2))
    assert (q.primitive, q.shape, r.shape) == (PICK, (2, 2), (2, 3))
    value = np.arange(6.0).reshape(2, 3) ** 2
    expected = np.linalg.qr(value)
    for node, right in zip((q, r), expected, strict=True):
        np.testing.assert_array_equal(
            checks.interpret(Graph([x], [node]), [value])[0], right
        )
    many = make_input((4, 2, 3), x.dtype)
    ((new, batched),) = batch([r], {x: many})
    assert batched
    assert new.shape == (4, 2, 3)


# --- the checks find what they are for


def broken(primitive, **changes):
    """Return the first smooth case of a primitive with some of its rules replaced."""
    changed = dataclasses.replace(primitive, **changes)
    return next(case for case in checks.cases(changed) if case.smooth)


def of_shape(*shape):
    return {"infer": lambda x: TensorType(shape, x.dtype)}


def wrong_vjp(ct, node, x, y):
    return elementwise.multiply(ct, y), elementwise.multiply(ct, y)


def flat_vjp(ct, node, x, y):
    """Give the right cotangents, whose own derivative is not right."""
    return elementwise.multiply(ct, source.stop_gradient(y)), elementwise.multiply(
        ct, x
    )


def wide_vjp(ct, node, x):
    return (elementwise.multiply(ct, source.constant(1.0, checks.as_dtype("float64"))),)


def warning_reference(x, y):
    warnings.warn("a warning", RuntimeWarning, stacklevel=1)
    return x * y


def wrong_batch(operands, flags, node):
    return apply(reduce.SUM, *operands, axes=(0,))


MULTIPLY, SUM, EXP = elementwise.MULTIPLY, reduce.SUM, elementwise.EXP


@pytest.mark.parametrize(
    ("check", "primitive", "changes"),
    [
        ("reference", MULTIPLY, {"reference": np.add}),
        ("reference", MULTIPLY, {"reference": warning_reference}),
        ("reference", EXP, {"reference": lambda x: np.exp(x) * (1 + 1e-14)}),
        ("reference", EXP, {"reference": lambda x: np.exp(x)[None]}),
        ("reference", EXP, of_shape(4, 3)),
        ("dtypes", EXP, {"reference": lambda x: np.exp(x * np.float64(1))}),
        ("dtypes", EXP, {"vjp": wide_vjp}),
        ("gradient", MULTIPLY, {"vjp": wrong_vjp}),
        ("gradient", MULTIPLY, {"vjp": lambda ct, node, x, y: (ct, None)}),
        ("torch", MULTIPLY, {"vjp": wrong_vjp}),
        ("second", MULTIPLY, {"vjp": flat_vjp}),
        ("jvp", MULTIPLY, {"vjp": wrong_vjp}),
        ("jvp", EXP, {"jvp": lambda tangents, node, x: tangents[0]}),
        ("vmap", SUM, {"batch": wrong_batch}),
        ("text", EXP, of_shape(3, 4, 1)),
    ],
)
def test_a_fault_is_found(check, primitive, changes):
    if checks.CHECKS[check].missing:
        pytest.skip(checks.CHECKS[check].missing)
    checks.CHECKS[check].run(broken(primitive))
    with pytest.raises((AssertionError, RuntimeWarning, DTypeError, GraphError)):
        checks.CHECKS[check].run(broken(primitive, **changes))


@pytest.mark.parametrize(
    "failure",
    [
        Failure((np.zeros(2), np.zeros(2)), {}, ShapeError, "no error at all"),
        Failure((np.zeros(2), np.zeros(3)), {}, DTypeError, "of another class"),
        Failure((np.zeros(2), np.zeros(3)), {}, ShapeError, "other words"),
    ],
)
def test_a_failure_that_does_not_happen_is_found(failure):
    with pytest.raises(AssertionError):
        checks.check_failure(MULTIPLY, failure)


def test_a_number_that_is_off_is_found():
    one = np.array([1.0, 2.0])
    float64 = checks.as_dtype("float64")
    checks.assert_same(one, one * (1 + 4e-16), float64, "near")
    for other in (one * (1 + 1e-14), one[:1], np.array([1.0, np.nan])):
        with pytest.raises(AssertionError):
            checks.assert_same(one, other, float64, "off")
    with pytest.raises(AssertionError):
        checks.assert_same(np.array([-0.0]), np.array([0.0]), float64, "signed")


# --- the table


def table_tool():
    path = Path(__file__).parents[2] / "tools" / "primitive_table.py"
    spec = importlib.util.spec_from_file_location("primitive_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_shows_what_passed(capsys):
    assert table_tool().print_table(checks, [SUM, elementwise.EQUAL], True) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^sum +ok \d+ ", shown, re.MULTILINE)
    assert re.search(r"^total FAIL +0 ", shown, re.MULTILINE)
    assert "jvp: no floating-point operand, the result is not floating-point" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_the_table_shows_what_failed(capsys):
    wrong = dataclasses.replace(MULTIPLY, vjp=wrong_vjp)
    silent = dataclasses.replace(EXP, failures=tuple)
    assert table_tool().print_table(checks, [wrong, silent], False) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^total FAIL +0 +0 +1 ", shown, re.MULTILINE)
    assert "FAIL multiply, gradient: sample" in shown
    assert "FAIL exp, failures: there is no failing sample" in shown


def test_the_table_knows_no_other_names(capsys):
    assert table_tool().main(["multiplies"]) == 2
    assert "no such primitive: multiplies" in capsys.readouterr().err
