"""Convolutions of bfloat16 whose products are added up two at a time.

Two channels are one: their elements lie in the halves of 32 bits, at each place, and so
do the kernel's numbers. One step then adds both products. The channels of the gradient
of a kernel are the items of a batch.

Read first: `paired`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dtypes import bfloat16, uint16, uint32
from ..loops.grammar import Constant, Expression, Operation
from .blocking import Facts, ceil
from .index import ZERO
from .pack import pair
from .product import as_dtype, smaller
from .sliding import Problem, Source


def are_paired(problem: Problem, facts: Facts) -> bool:
    """Return whether products of bfloat16 are added up two at a time."""
    return facts.bf16_dot and problem.channels > 1


def paired(problem: Problem) -> Problem:
    """Return a problem of bfloat16 with pairs of channels."""
    groups, channels = problem.groups, problem.channels
    half = ceil(channels, 2)

    def pairs(source: Source, groups: int) -> Source:
        def load(outer: Expression, at: Sequence[Expression]) -> Expression:
            own, *places = at
            base: Expression = ZERO
            if channels % 2 and groups > 1:
                base = own // half * channels
                own = own % half
            second = own * 2 + 1
            there = second < channels
            if channels % 2:
                second = smaller(second, channels - 1)
            low = _bits(source(outer, [base + own * 2, *places]))
            high = _bits(source(outer, [base + second, *places]))
            if channels % 2:
                # The last one has no second: what it meets is zero, as it is itself.
                zero = Constant(0, uint32)
                high = Operation("select", (there, high, zero), uint32)
            return pair(low, high)

        return load

    return problem._replace(
        channels=half,
        pairs=True,
        direct=False,
        x=pairs(problem.x, groups),
        weight=pairs(problem.weight, 1),
    )


def _bits(value: Expression) -> Expression:
    bits = Operation("bitcast", (as_dtype(value, bfloat16),), uint16)
    return Operation("cast", (bits,), uint32)
