"""Programs that change programs: derivatives, vectorising, control flow.

Ops that are made of control flow stand here too.
"""

from .. import ops
from . import attention, control, region, scan

ALL_PRIMITIVES = (
    *ops.PRIMITIVES,
    *control.PRIMITIVES,
    *scan.PRIMITIVES,
    *region.PRIMITIVES,
)
ALL_OPS = (*ops.OPS, *attention.OPS)

__all__ = ["ALL_OPS", "ALL_PRIMITIVES"]
