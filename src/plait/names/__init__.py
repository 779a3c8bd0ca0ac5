"""What other frameworks call what plait has.

One text file a framework, from which come the errors for names that plait spells
otherwise, `plait find`, and the tables of the documentation.
"""

from .lookup import (
    FRAMEWORKS,
    ROOMS,
    Entry,
    entries,
    find,
    found_at,
    missing,
    modules,
    public,
    spell,
)

__all__ = [
    "FRAMEWORKS",
    "ROOMS",
    "Entry",
    "entries",
    "find",
    "found_at",
    "missing",
    "modules",
    "public",
    "spell",
]
