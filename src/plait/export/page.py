"""Pages that show what an exported model does: beside it, or with it in one file.

Read first: `files`, `single_file`.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

import plait

SOURCES = Path(plait.__file__).parent / "web" / "export"
_IMPORT = re.compile(r"""((?:\bfrom|\bimport)\s*\(?\s*)(["'])\./([\w.-]+\.js)\2""")
_SCRIPT = '<script type="module" src="page.js"></script>'
# What a page in one file loads lies in the file.
_LOAD = 'load(".")'
_READ = """
const files = FILES;
const read = async (name) =>
  new Response(Uint8Array.from(atob(files[name]), (letter) => letter.charCodeAt(0)));
"""


def files(name: str) -> dict[str, bytes]:
    """Return the page of an export, and its script."""
    text = (SOURCES / "index.html").read_text(encoding="utf-8")
    return {
        "index.html": text.replace("NAME", html.escape(name)).encode(),
        "page.js": (SOURCES / "page.js").read_bytes(),
    }


def single_file(files: Mapping[str, bytes]) -> bytes:
    """Return a page with all files of an export in it.

    Args:
        files: with `index.html` and `page.js`.
    """
    scripts = {
        name: content.decode() for name, content in files.items() if _is_script(name)
    }
    data = {
        name: base64.b64encode(content).decode()
        for name, content in files.items()
        if not name.endswith((".js", ".ts", ".html"))
    }
    # Scripts get names of their own, as addresses relative to a page in one file lead
    # nowhere.
    imports = {
        f"plait/{name}": "data:text/javascript;base64,"
        + base64.b64encode(_renamed(text).encode()).decode()
        for name, text in scripts.items()
        if name != "page.js"
    }
    script = _renamed(scripts["page.js"]).replace(_LOAD, 'load(".", { read })')
    inside = _READ.replace("FILES", json.dumps(data)) + script
    text = files["index.html"].decode().replace(
        _SCRIPT,
        f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n'
        f'<script type="module">{inside}</script>',
    )  # fmt: skip
    return text.encode()


def _is_script(name: str) -> bool:
    return name.endswith(".js")


def _renamed(script: str) -> str:
    """Return a script with `./x.js` imported as `plait/x.js`."""
    return _IMPORT.sub(r"\1\2plait/\3\2", script)
