"""Functions as machine code: as far from the exact value as their formulas say."""

import numpy as np
import pytest

from plait.compile.llvm.target import named
from plait.compile.loops.functions import FUNCTIONS, expand_functions
from plait.compile.loops.grammar import (
    Buffer,
    Kernel,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from plait.compile.loops.grammar import For as Loop
from plait.dtypes import bool_, float32, float64

from ..loops.test_functions import edge_operands, samples
from ..loops.vectors import call


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [float32, float64], ids=["float32", "float64"])
def test_machine_code(name, dtype, compiled):
    """Machine code gives what the formula does: with one rounding, or with two."""
    parts = zip(
        edge_operands(name, dtype.numpy.type),
        samples(name, dtype.numpy.type, 2000),
        strict=False,
    )
    operands = [np.concatenate(part) for part in parts]
    if len(operands) < FUNCTIONS[name].operands:
        operands.append(operands[0][::-1].copy())
    lanes, size = 8, operands[0].size // 8 * 8
    operands = [operand[:size] for operand in operands]
    inputs = [Buffer(f"x{k}", dtype, size) for k in range(len(operands))]
    result = Buffer("y", bool_ if name == "signbit" else dtype, size, "out")
    i, lane = Variable("i"), Variable("lane")
    at = i * lanes + lane
    loads = [Load(buffer, at) for buffer in inputs]
    store = Store(result, at, Operation(name, loads, result.dtype))
    body = [Loop(i, size // lanes, [Vector(lane, lanes, lanes, [store])])]
    kernel = Kernel(name, [*inputs, result], body)
    empty = np.zeros(size, result.dtype.numpy)
    for target in map(named, ("host", "sse4")):
        if not target.runs:
            continue
        done = expand_functions(kernel, target.fma)
        got = compiled(done, [*operands, empty], target)[-1]
        expected = call(name, *operands, fma=target.fma)
        if result.dtype is bool_:
            np.testing.assert_array_equal(got, expected)
            continue
        # One rounding of float64 is only nearly what it is there.
        allowed = 0 if dtype is float32 or not target.fma else 2
        with np.errstate(all="ignore"):
            error = np.abs((got - expected) / np.spacing(np.abs(expected)))
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        assert (same | (error <= allowed)).all()
        there = ~np.isnan(expected)
        np.testing.assert_array_equal(
            np.signbit(got[there]), np.signbit(expected[there])
        )
