"""The mathematics: the records of all primitives, and the ops made of them.

The modules import one another as modules, since rules refer to ops of other families.
"""

from . import elementwise, movement, reduce, contract, source, index, sort, window, linalg  # isort: skip

MODULES = (source, elementwise, movement, reduce, contract, index, sort, window, linalg)
PRIMITIVES = tuple(
    primitive for module in MODULES for primitive in getattr(module, "PRIMITIVES", ())
)
OPS = tuple(op for module in MODULES for op in getattr(module, "OPS", ()))

__all__ = ["MODULES", "OPS", "PRIMITIVES"]
