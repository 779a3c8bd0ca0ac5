"""Expressions evaluated on whole arrays, with either kind of `fused_multiply_add`."""

from __future__ import annotations

import numpy as np

from plait.compile.loops.functions import expand
from plait.compile.loops.grammar import Constant, Let, Operation, Variable
from plait.compile.loops.interpret import apply
from plait.compile.loops.traverse import ordered
from plait.dtypes import as_dtype


def exact_product(x, y):
    """Return x * y in float64 and what rounding has taken from it (Dekker 1971)."""

    def halves(v):
        high = (v.view(np.uint64) & np.uint64(0xFFFFFFFFF8000000)).view(np.float64)
        return high, v - high

    (a, b), (c, d) = halves(np.atleast_1d(x)), halves(np.atleast_1d(y))
    high = x * y
    return high, ((a * c - high) + a * d + b * c) + b * d


def fused(x, y, z):
    """Return x * y + z, rounded once but for rare ties."""
    if x.dtype == np.float32 or np.result_type(x, y, z) == np.float32:
        wide = np.float64
        return (x.astype(wide) * y.astype(wide) + z.astype(wide)).astype(np.float32)
    x, y, z = np.broadcast_arrays(x, y, z)
    x, y, z = (np.ascontiguousarray(v) for v in (x, y, z))
    high, low = exact_product(x, y)
    total = high + z
    back = total - high
    rest = (high - (total - back)) + (z - back)
    result = total + (rest + low)
    plain = x * y + z  # right about infinities and the sign of 0
    return np.where(np.isfinite(result) & (result != 0), result, plain)


def write_out(name, operands, fma=True):
    """Return the Lets and the value of a function of variables or constants."""
    lets = []

    def bind(value):
        variable = Variable(f"f.{len(lets)}", value.dtype)
        lets.append(Let(variable, value))
        return variable

    return lets, expand(name, operands, bind, fma)


def evaluate(lets, value, names, fma=True):
    """Return the value on arrays."""
    names = dict(names)
    for statement in (*lets, Let(Variable("result", value.dtype), value)):
        known = {}
        for node in ordered([statement.value]):
            if isinstance(node, Constant):
                known[id(node)] = np.array([node.value]).astype(node.dtype.numpy)
                if node.dtype.is_integer:
                    known[id(node)] = np.array([node.value], node.dtype.numpy)
            elif isinstance(node, Variable):
                known[id(node)] = names[node.name]
            else:
                assert isinstance(node, Operation)
                operands = [known[id(one)] for one in node.operands]
                if node.name == "fused_multiply_add":
                    x, y, z = operands
                    known[id(node)] = fused(x, y, z) if fma else x * y + z
                else:
                    known[id(node)] = apply(node.name, operands, node.dtype)
            assert known[id(node)].dtype == node.dtype.numpy, (node.name, node.dtype)
        names[statement.variable.name] = known[id(statement.value)]
    return names["result"]


def call(name, *arrays, fma=True):
    """Return an expanded function of arrays of one dtype."""
    variables = [Variable(f"x{k}", as_dtype(x.dtype)) for k, x in enumerate(arrays)]
    lets, value = write_out(name, variables, fma)
    names = {v.name: x for v, x in zip(variables, arrays, strict=True)}
    with np.errstate(all="ignore"):
        return evaluate(lets, value, names, fma)
