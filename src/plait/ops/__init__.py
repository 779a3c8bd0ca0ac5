"""The mathematics: the records of all primitives, and the ops made of them.

The modules import one another as modules, since rules refer to ops of other families.
"""

from . import elementwise, movement, reduce, contract, source  # isort: skip

MODULES = (source, elementwise, movement, reduce, contract)
PRIMITIVES = tuple(
    primitive for module in MODULES for primitive in getattr(module, "PRIMITIVES", ())
)

__all__ = ["MODULES", "PRIMITIVES"]
