"""The mathematics: the records of all primitives, and the ops made of them.

The modules import one another as modules, since rules refer to ops of other families.
"""

from .catalogue import MODULES, OPS, PRIMITIVES

__all__ = ["MODULES", "OPS", "PRIMITIVES"]
