"""`plait cache`: the compiled code that is kept between runs.

Read first: `run`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait

from ..runtime import cache
from .console import new_parser

_DESCRIPTION = """\
Print where compiled code is kept, and how much of it; or remove it.

The environment variable PLAIT_CACHE names another folder, or is `off`, and
PLAIT_CACHE_SIZE is the most that is kept, in MiB. Nothing is lost when code is
removed, but the next run compiles it again.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait cache", _DESCRIPTION)
    parser.add_argument("--clear", action="store_true", help="remove all entries")
    options = parser.parse_args(arguments)
    folder = cache.folder()
    if folder is None:
        print("folder   none: the setting `cache` is off")
        return 0
    if options.clear:
        print(f"removed {cache.clear()} entries from {folder}")
        return 0
    found = cache.entries()
    size = sum(entry.size for entry in found) / 2**20
    print(f"folder   {folder}{'' if folder.exists() else ' (not made yet)'}")
    print(f"entries  {len(found)}")
    print(f"size     {size:.1f} MiB of at most {plait.settings.cache_size}")
    return 0
