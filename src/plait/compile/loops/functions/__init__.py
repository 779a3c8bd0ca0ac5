"""Functions written out in basic operations, without branches or tables.

Read first: `FUNCTIONS`, `expand_functions`; then `write.Value` and
`exponential.exp`.
"""

from __future__ import annotations

from .expand import BOUNDS, FUNCTIONS, PREFIX, Bound, Function, expand, expand_functions

__all__ = [
    "BOUNDS",
    "FUNCTIONS",
    "PREFIX",
    "Bound",
    "Function",
    "expand",
    "expand_functions",
]
