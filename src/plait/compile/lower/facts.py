"""What a target can do, for those who cut products into blocks.

Read first: `facts_of`.
"""

from __future__ import annotations

from ..llvm.target import Target
from .blocking import Facts


def facts_of(target: Target) -> Facts:
    """Return what cutting a product depends on."""
    return Facts(
        vector_bytes=target.vector_bits // 8,
        registers=target.vector_registers,
        fma=target.fma or target.relaxed,
        bf16_dot=target.bf16_dot,
        tiles=16 if target.amx else 0,
        compact=target.compact,
        finer=target.finer,
        workgroup=target.workgroup,
    )
