"""Programs that change programs: derivatives, vectorising, control flow."""

from .. import ops
from . import control, region

ALL_PRIMITIVES = (*ops.PRIMITIVES, *control.PRIMITIVES, *region.PRIMITIVES)

__all__ = ["ALL_PRIMITIVES"]
