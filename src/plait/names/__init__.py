"""What other frameworks call what plait has.

One text file a framework, from which come the errors for names that plait spells
otherwise, `plait find`, and the tables of the documentation.
"""

from .lookup import FRAMEWORKS, Entry, entries, find, missing

__all__ = ["FRAMEWORKS", "Entry", "entries", "find", "missing"]
