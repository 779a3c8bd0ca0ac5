"""How scripts are sent: without comments and needless spaces.

Read first: `scripts`.
"""

from __future__ import annotations

import re
from pathlib import Path

RUNTIME = Path(__file__).parent / "runtime"

# Strings, templates without strings in them, regular expressions after what no value
# ends with, and comments.
_APART = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`"""
    r"""|(?<=[(=?:,] )/(?![/*])(?:\\.|[^/\\\n])+/|(?<=\()/(?![/*])(?:\\.|[^/\\\n])+/"""
    r"""|/\*.*?\*/|//[^\n]*)""",
    re.DOTALL,
)
_SPACE = re.compile(r"\s+")
# Spaces beside punctuation mean nothing; "+ +" and "- -" are not in our scripts.
_NEEDLESS = re.compile(r"(?<=[^\w$#]) | (?=[^\w$#])")


def scripts() -> dict[str, bytes]:
    """Return the files of the script as they are sent, by name: without comments.

    Types, for TypeScript, are as they are.
    """
    found = {}
    for path in sorted(RUNTIME.iterdir()):
        if path.suffix == ".js":
            found[path.name] = compact(path.read_text(encoding="utf-8")).encode()
        elif path.suffix == ".ts":
            found[path.name] = path.read_bytes()
    return found


def compact(script: str) -> str:
    """Return a script of ours without comments and needless spaces.

    It must end each statement with a semicolon or a brace, as ours do.
    """
    parts = []
    for i, part in enumerate(_APART.split(script)):
        if i % 2 and part.startswith(("//", "/*")):
            part = " "
        elif not i % 2:
            part = _SPACE.sub(" ", part)
        parts.append((i % 2 == 1 and part != " ", part))
    # Spaces that a comment had around it count as one.
    joined: list[tuple[bool, str]] = []
    for literal, part in parts:
        if not literal and joined and not joined[-1][0]:
            joined[-1] = (False, _SPACE.sub(" ", joined[-1][1] + part))
        else:
            joined.append((literal, part))
    text = "".join(
        part if literal else _NEEDLESS.sub("", part) for literal, part in joined
    )
    return text.strip() + "\n"
