"""Docstrings of the house as reStructuredText.

A docstring is paragraphs and sections. A section begins with one of `SECTIONS` and a
colon at the margin: with text behind it, as in "Source: a paper", or with lines below
that are indented, as under "Args:". In text, `name` in backticks is a name or code.

Knows nothing of the package: what a name stands for says `Names`.
"""

import re
import textwrap
from collections.abc import Callable, Iterator

TITLES = {
    "Args": "Arguments",
    "Hyperparameters": "Hyperparameters",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Raises": "Raises",
    "Yields": "Yields",
    "Example": "Example",
    "Examples": "Examples",
}
# Those whose lines below are entries, `name: text`.
LISTS = {"Args", "Attributes", "Hyperparameters", "Raises"}
INLINE = (
    "Formula", "Formulas", "Input", "Inputs", "Result", "Results", "Value", "Source",
    "Sources", "Special cases", "Gradient", "Density", "Probability", "Support",
    "Note",
)  # fmt: skip
_INLINE = re.compile(rf"({'|'.join(INLINE)}):(?: |$)(.*)", re.DOTALL)
_ITEM = re.compile(r"(?:\d+\.|-) ")
_ENTRY = re.compile(r"(\*{0,2}\w[\w.]*(?:, \*{0,2}\w[\w.]*)*):(?: |$)(.*)", re.DOTALL)

# Returns the full name of what is named, or "".
Names = Callable[[str], str]


def escaped(text: str) -> str:
    """Return text in which nothing is markup."""
    text = re.sub(r"([\\*|_`<>\[\]])", r"\\\1", text)
    return text.replace("::", r":\:")


def inline(text: str, names: Names) -> str:
    """Return a line of text, with names as references and other code as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick that is never closed
        return escaped(text)
    found = []
    for i, part in enumerate(parts):
        if i % 2 == 0:
            found.append(escaped(part))
            continue
        target = names(part) if re.fullmatch(r"[\w.]+(\(\))?", part) else ""
        if target:
            found.append(f":py:obj:`{part} <{target}>`")
        elif part.strip():
            found.append(f"``{part.strip()}``")
        # Markup must not touch a word.
        if found and i + 1 < len(parts) and parts[i + 1][:1].isalnum():
            found.append("\\ ")
    return "".join(found)


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield paragraphs, and what lies between empty lines and is indented."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def paragraph(block: list[str], names: Names) -> list[str]:
    """Return a paragraph, a list, or code."""
    if all(line.startswith("    ") for line in block):
        return code(block)
    if _ITEM.match(block[0]):
        items: list[str] = []
        for line in block:
            if _ITEM.match(line):
                items.append(line)
            else:
                items[-1] += " " + line.strip()
        found = []
        for item in items:
            mark, text = item.split(" ", 1)
            found.append(f"{mark} {inline(text, names)}")
        return [*found, ""]
    text = " ".join(line.strip() for line in block)
    if match := _INLINE.fullmatch(text):
        name, rest = match.groups()
        found = []
        if name.startswith("Input") and " Result: " in rest:
            rest, _, result = rest.partition(" Result: ")
            found = [f"**Result:** {inline(result, names)}", ""]
        return [f"**{name}:** {inline(rest, names)}", "", *found]
    return [inline(text, names), ""]


def code(lines: list[str]) -> list[str]:
    """Return lines as code of Python, or of its prompt."""
    text = textwrap.dedent("\n".join(lines)).splitlines()
    language = "pycon" if any(x.startswith(">>>") for x in text) else "python"
    return [f".. code-block:: {language}", "", *(f"    {x}" for x in text), ""]


def entries(lines: list[str], names: Names) -> list[str]:
    """Return the entries of a section as a list of definitions."""
    found: list[str] = []
    items: list[list[str]] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line and not line.startswith(" "):
            items.append([line])
        elif items:
            items[-1].append(line)
    for item in items:
        match = _ENTRY.match(item[0])
        name, text = match.groups() if match else (item[0], "")
        rest = textwrap.dedent("\n".join(item[1:])).splitlines()
        body = [text, *rest] if text else rest
        label = ", ".join(f"``{x}``" for x in name.split(", "))
        if not match:
            label = inline(name, names)
        found += [label]
        for block in blocks(body):
            found += [f"    {x}" if x else "" for x in paragraph(block, names)]
        if not body:
            found.append("")
    return found


def render(text: str, names: Names) -> list[str]:
    """Return a docstring as lines of reStructuredText."""
    found: list[str] = []
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        head = lines[i].rstrip()
        if head.endswith(":") and head[:-1] in TITLES:
            name = head[:-1]
            i += 1
            inner: list[str] = []
            while i < len(lines) and (
                not lines[i].strip() or lines[i].startswith("    ")
            ):
                inner.append(lines[i])
                i += 1
            found += [f"**{TITLES[name]}**", ""]
            if name in LISTS:
                found += entries(inner, names)
            elif name.startswith("Example"):
                found += code(inner)
            else:
                inner = textwrap.dedent("\n".join(inner)).splitlines()
                for block in blocks(inner):
                    found += paragraph(block, names)
            continue
        block = []
        while i < len(lines) and lines[i].strip():
            if block and (lines[i].rstrip()[:-1] in TITLES or _INLINE.match(lines[i])):
                break
            block.append(lines[i])
            i += 1
        if block:
            found += paragraph(block, names)
        while i < len(lines) and not lines[i].strip():
            i += 1
    return found
