"""Programs that change programs: derivatives, vectorising, control flow."""

from .. import ops
from . import control, region, scan

ALL_PRIMITIVES = (
    *ops.PRIMITIVES,
    *control.PRIMITIVES,
    *scan.PRIMITIVES,
    *region.PRIMITIVES,
)

__all__ = ["ALL_PRIMITIVES"]
