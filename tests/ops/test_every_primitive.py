"""Every primitive, on every one of its samples, through every check."""

from __future__ import annotations

import pytest

from . import checks
from .oracles import ORACLES
from .torch_table import TORCH


def applicable(check):
    return [
        pytest.param(case, id=case.name)
        for primitive in checks.PRIMITIVES
        for case in checks.cases(primitive)
        if not checks.CHECKS[check].excuse(case)
    ]


@pytest.mark.parametrize("case", applicable("reference"))
def test_reference(case):
    checks.check_reference(case)


@pytest.mark.parametrize("case", applicable("dtypes"))
def test_dtypes(case):
    checks.check_dtypes(case)


@pytest.mark.parametrize("case", applicable("gradient"))
def test_gradient(case):
    checks.check_gradient(case)


@pytest.mark.parametrize("case", applicable("torch"))
def test_torch(case):
    checks.check_torch(case)


@pytest.mark.parametrize("case", applicable("second"))
def test_second(case):
    checks.check_second(case)


@pytest.mark.parametrize("case", applicable("jvp"))
def test_jvp(case):
    checks.check_jvp(case)


@pytest.mark.parametrize("case", applicable("vmap"))
def test_vmap(case):
    checks.check_vmap(case)


@pytest.mark.parametrize("case", applicable("text"))
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


def test_tables_name_every_primitive():
    names = {primitive.name for primitive in checks.PRIMITIVES}
    assert names == set(ORACLES)
    assert names == set(TORCH)
