"""The pages of the reference: one for each family, which is a module of the package.

Read first: `write`, `Page`.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import plait
from plait import errors, linalg, random
from plait.names import FRAMEWORKS, entries, public
from plait.ops.catalogue import MODULES

from . import markup
from .examples import example

# Rooms of classes and functions with a page for each module, and their titles.
ROOMS = {
    "nn": "Layers and losses",
    "optim": "Optimizers and schedules",
    "metrics": "Metrics",
    "distributions": "Distributions",
    "models": "Models",
    "data": "Data",
    "train": "Training",
}


class Page(NamedTuple):
    """A page: where it lies, its title, what it says first, and what it is about.

    Attributes:
        path: below the folder of the reference, without a suffix.
        title: of the page.
        intro: a docstring that stands first.
        items: pairs of a full name and what has it.
    """

    path: str
    title: str
    intro: str
    items: list[tuple[str, Any]]


def pages() -> Iterator[Page]:
    """Yield every page of the reference but the index."""
    yield from _functions()
    members = [
        (f"plait.Tensor.{name}", value)
        for name, value in sorted(vars(plait.Tensor).items())
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
    ]
    yield Page(
        "tensor", "Tensor", inspect.getdoc(plait.Tensor) or "",
        [("plait.Tensor", plait.Tensor), *members],
    )  # fmt: skip
    for name, room in (("linalg", linalg), ("random", random)):
        items = [
            (f"plait.{name}.{key}", value)
            for key, value in ((key, getattr(room, key)) for key in public(room))
            if (inspect.isfunction(value) or inspect.isclass(value))
            and getattr(value, "__doc__", None)
        ]
        items.sort()
        title, intro = _heading(room)
        yield Page(name, title, intro, items)
    found = [
        (f"plait.errors.{key}", value)
        for key, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.PlaitError)
    ]
    title, intro = _heading(errors)
    yield Page("errors", title, intro, found)
    for room in ROOMS:
        yield from _room(room)


def _functions() -> Iterator[Page]:
    """Yield pages of the functions of `plait`, by the module that they are from."""
    seen = set()
    for module in MODULES:
        names = [op.__name__ for op in getattr(module, "OPS", ())]
        items = [
            (f"plait.{name}", getattr(plait, name))
            for name in names
            if name in plait.__all__
        ]
        seen |= {path for path, _ in items}
        if items:
            title, intro = _heading(module)
            yield Page(f"functions/{_last(module)}", title, intro, items)
    families: dict[str, list[tuple[str, Any]]] = {}
    for name in sorted(plait.__all__):
        value = getattr(plait, name)
        path = f"plait.{name}"
        known = path in seen or value is plait.Tensor or name == "bool"
        if known or not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        families.setdefault(value.__module__, []).append((path, value))
    for module_name, items in sorted(families.items()):
        module = importlib.import_module(module_name)
        title, intro = _heading(module)
        yield Page(f"functions/{_last(module)}", title, intro, items)


def _room(room: str) -> Iterator[Page]:
    package = importlib.import_module(f"plait.{room}")
    families: dict[str, list[tuple[str, Any]]] = {}
    for name in package.__all__:
        value = getattr(package, name)
        path = f"plait.{room}.{name}"
        if inspect.ismodule(value):
            inner = [
                (f"{path}.{key}", x)
                for key, x in vars(value).items()
                if inspect.isfunction(x)
                and x.__module__ == value.__name__
                and not key.startswith("_")
            ]
            families.setdefault(value.__name__, []).extend(inner)
        elif inspect.isfunction(value) or inspect.isclass(value):
            families.setdefault(value.__module__, []).append((path, value))
    for module_name, items in sorted(families.items()):
        module = importlib.import_module(module_name)
        title, intro = _heading(module)
        order = _order(module)
        items.sort(key=lambda item: order.get(item[0].rpartition(".")[2], 0))
        yield Page(f"{room}/{module_name.split('.', 2)[2]}", title, intro, items)


def _order(module: Any) -> dict[str, int]:
    """Return the lines of a module at which its classes and functions begin."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {
        node.name: node.lineno
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def _last(module: Any) -> str:
    return module.__name__.rpartition(".")[2]


def _heading(module: Any) -> tuple[str, str]:
    """Return the title of a module, and the rest of its docstring."""
    text = inspect.getdoc(module) or _last(module)
    first, _, rest = text.partition("\n\n")
    title = " ".join(first.split()).rstrip(".").partition(": ")[0]
    # What is said to readers of the source.
    kept = [
        part
        for part in rest.split("\n\n")
        if not part.startswith(("Read first", "Knows", "This module knows"))
    ]
    return title[:1].upper() + title[1:], "\n\n".join(kept)


class Names:
    """What names in docstrings stand for."""

    def __init__(self, found: Iterable[Page]) -> None:
        self.known = {path for page in found for path, _ in page.items}
        # What other frameworks call it, so that a search finds it.
        self.others: dict[str, list[str]] = {}
        for framework in FRAMEWORKS:
            for one in entries(framework):
                if one.name != one.path.rpartition(".")[2]:
                    there = f"{one.module}.{one.name}".removeprefix("abbreviations.")
                    self.others.setdefault(one.path, []).append(there)

    def near(self, path: str) -> markup.Names:
        """Return a function from a name, used in the docstring of `path`, to what it
        stands for.
        """
        rooms = [path]
        while "." in rooms[-1]:
            rooms.append(rooms[-1].rpartition(".")[0])

        def look(name: str) -> str:
            name = name.removesuffix("()")
            for candidate in (*(f"{room}.{name}" for room in rooms), name):
                if candidate in self.known:
                    return candidate
            return f"plait.{name}" if f"plait.{name}" in self.known else ""

        return look


def signature(value: Any) -> str:
    """Return the arguments as they are written, without types."""
    try:
        given = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    parts = []
    starred = False
    for p in given.parameters.values():
        if p.name == "self":
            continue
        text = p.name
        if p.kind is p.VAR_POSITIONAL:
            text, starred = f"*{p.name}", True
        elif p.kind is p.VAR_KEYWORD:
            text = f"**{p.name}"
        elif p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        if p.default is not p.empty:
            shown = repr(p.default)
            text += f"={shown}" if re.fullmatch(r"[\w.'\-()+, ]+", shown) else "=..."
        parts.append(text)
    return f"({', '.join(parts)})"


def lines(page: Page, names: Names) -> Iterator[str]:
    """Yield the lines of a page."""
    yield from heading(page.title, "=")
    yield from markup.render(page.intro, names.near(page.items[0][0]))
    for path, value in page.items:
        kind = "function"
        if inspect.isclass(value):
            kind = "class"
        elif isinstance(value, property):
            kind = "property"
        elif path.startswith("plait.Tensor."):
            kind = "method"
        given = "" if kind == "property" else signature(value)
        yield f".. py:{kind}:: {path}{given}"
        yield ""
        text = inspect.getdoc(value) or ""
        if page.intro == text:
            text = ""
        body = markup.render(text, names.near(path))
        if others := names.others.get(path):
            # A search for their names finds ours.
            body += [f"**Elsewhere:** {markup.escaped(', '.join(others))}.", ""]
        if inspect.isclass(value) and (shown := example(value)):
            body += ["**Example**", "", ".. code-block:: python", ""]
            body += [f"    {line}" for line in shown.splitlines()] + [""]
        if inspect.isclass(value):
            for name, method in _methods(value):
                body += [f".. py:method:: {name}{signature(method)}", ""]
                text = inspect.getdoc(method) or ""
                body += [
                    f"    {x}" if x else ""
                    for x in markup.render(text, names.near(path))
                ]
        yield from (f"    {line}" if line else "" for line in body)
        yield ""


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what users call on objects of a class, as far as it is the class's own."""
    usual = {"forward", "samples", "extra_repr", "reset_parameters", "reset"}
    if cls is plait.Tensor:
        return
    for name, value in vars(cls).items():
        plain = not name.startswith("_") and name not in usual
        if plain and inspect.isfunction(value) and inspect.getdoc(value):
            inherited = any(hasattr(base, name) for base in cls.__mro__[1:])
            if not inherited:
                yield name, value


def heading(text: str, mark: str) -> list[str]:
    """Return a heading and the line under it."""
    text = markup.escaped(text.replace("`", ""))
    return [text, mark * max(len(text), 3), ""]


def table(framework: str, names: Names) -> Iterator[str]:
    """Yield the lines of the page for users of another framework."""
    title = FRAMEWORKS[framework]
    short = framework == "abbreviations"
    yield from heading("Abbreviations" if short else f"Coming from {title}", "=")
    found = entries(framework)
    near = names.near("plait")
    for module in dict.fromkeys(one.module for one in found):
        yield from heading(module, "-")
        yield ".. list-table::"
        yield "    :header-rows: 1"
        yield "    :widths: 30 30 40"
        yield ""
        yield from ("    * - there", "      - here", "      - remark")
        for one in found:
            if one.module != module:
                continue
            shown = one.path.removeprefix("plait.")
            here = markup.inline(f"`{shown}`", near) if one.path else "left out"
            yield f"    * - ``{one.name}``"
            yield f"      - {here}"
            yield f"      - {markup.inline(one.remark, near)}"
        yield ""


def contents(
    title: str, paths: Iterable[str], families: Iterable[Page] = ()
) -> Iterator[str]:
    """Yield the lines of a page that lists others, or all that is in them by name."""
    yield from heading(title, "=")
    yield from (".. toctree::", "    :maxdepth: 1")
    shown = list(families)
    yield from (["    :hidden:", ""] if shown else [""])
    yield from (f"    {path}" for path in paths)
    yield ""
    for page in shown:
        yield f":doc:`{markup.escaped(page.title)} <{page.path.partition('/')[2]}>`"
        names = (
            f":py:obj:`{path.rpartition('.')[2]} <{path}>`" for path, _ in page.items
        )
        yield f"    {', '.join(names)}"
        yield ""


def entry(page: Page) -> str:
    """Return a page's line in a list of pages: what it is about, by name."""
    names = [path.rpartition(".")[2] for path, _ in page.items]
    more = ", …" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} <{page.path.partition('/')[2]}>"


def write(folder: Path) -> list[str]:
    """Write all pages of the reference into a folder; return what was written.

    Pages of an earlier time, of modules that are gone, are removed.
    """
    every = list(pages())
    names = Names(every)
    texts: dict[str, Iterable[str]] = {
        page.path: lines(page, names) for page in every if page.items
    }
    for framework in FRAMEWORKS:
        texts[f"names/{framework}"] = table(framework, names)
    texts["names/contents"] = contents("Coming from elsewhere", FRAMEWORKS)
    tops = ["tensor", "functions/contents", "linalg", "random"]
    groups = {"functions": "Functions", **ROOMS}
    for group, title in groups.items():
        inside = [
            page
            for page in sorted(every, key=lambda page: page.path)
            if page.items and page.path.startswith(f"{group}/")
        ]
        texts[f"{group}/contents"] = contents(title, map(entry, inside), inside)
        if group != "functions":
            tops.append(f"{group}/contents")
    texts["contents"] = contents("Reference", [*tops, "Errors <errors>"])
    for page in folder.rglob("*.rst"):
        if page.relative_to(folder).with_suffix("").as_posix() not in texts:
            page.unlink()
    for path, text in texts.items():
        target = folder / f"{path}.rst"
        target.parent.mkdir(parents=True, exist_ok=True)
        new = "\n".join(text) + "\n"
        # What has not changed is not built anew.
        if not target.exists() or target.read_text(encoding="utf-8") != new:
            target.write_text(new, encoding="utf-8")
    return sorted(texts)
