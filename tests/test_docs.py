"""The documents name files and settings that exist."""

import dataclasses
import re
from pathlib import Path

import pytest

from plait import settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("b*/*.md"))
    if ".venv" not in path.parts
)


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    paths = re.findall(
        r"`((?:src|tests|tools|docs|examples|benchmarks)/[\w./]+)`", text
    )
    # Pages of the reference are made when the documents are built.
    links = [link for link in links if not link.startswith("reference/")]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_examples_of_the_compiler_run(capsys):
    text = (ROOT / "docs" / "compiler.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    names = {}
    for block in blocks:
        exec(compile(block, "compiler.md", "exec"), names)
    printed = capsys.readouterr().out
    for word in ("graph(", "program: 2 inputs", 'kernel "', "dot_", "memory: "):
        assert word in printed


def test_the_page_of_the_compiler_names_settings_that_exist():
    text = (ROOT / "docs" / "compiler.md").read_text(encoding="utf-8")
    known = {x.name: x.metadata["env"] for x in dataclasses.fields(settings)}
    rows = re.findall(r"^\| `(\w+)` \| `(PLAIT_\w+)` \|", text, re.MULTILINE)
    assert len(rows) >= 8
    assert all(known[name] == variable for name, variable in rows)
    assert set(re.findall(r"PLAIT_\w+", text)) <= set(known.values())


def test_settings_say_how_they_are_set():
    for item in dataclasses.fields(settings):
        assert item.metadata["env"].startswith("PLAIT_")
        assert item.metadata["meaning"]
