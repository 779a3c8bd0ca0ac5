"""Settings of Sphinx: `python tools/dev.py docs` builds the documents."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import pages  # noqa: E402

project = "plait"
author = "the authors of plait"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "plait"
html_static_path = ["static"]
html_css_files = ["narrow.css"]
html_show_copyright = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build", "generate"]
# What is not Python in examples of Python, such as "...", is no reason to complain.
highlight_language = "python"
toc_object_entries_show_parents = "hide"

pages.write(HERE / "reference")
