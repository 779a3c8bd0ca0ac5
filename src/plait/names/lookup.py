"""Names of other frameworks, and what plait has for each.

A file `<framework>.txt` has sections, `[their module -> our room]`, with a line a name:

    Conv2d                          the room has it under the same name
    Conv2d | a remark               the same
    Dense = Linear | a remark       the room has it under another name
    clamp = plait.clip              another room has it
    FlaxLayer - the reason          plait does not have it

Lines that begin with `#` are for readers of the file.

This module knows nothing of what the names stand for: `tests/test_names.py` compares.

Read first: `find`, `missing`.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..late import late

if TYPE_CHECKING:
    import difflib
    from importlib import resources
else:  # they bring much, and are only needed for a name that is not there
    difflib = late("difflib")
    resources = late("importlib.resources")

FRAMEWORKS = {
    "pytorch": "PyTorch",
    "keras": "Keras",
    "huggingface": "Hugging Face",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "tfjs": "TensorFlow.js",
    "torch7": "Torch7",
    "mxnet": "MXNet",
    "caffe": "Caffe",
    "dl4j": "DL4J",
    "cntk": "CNTK",
    "mlx": "MLX",
    "burn": "Burn",
    "browser": "ConvNetJS, brain.js, synaptic",
}
_SECTION = re.compile(r"\[(.+) -> (\S+)\]")
_LINE = re.compile(r"(\S+)(?: = (\S+))?(?: \| (.+)| - (.+))?")


class Entry(NamedTuple):
    """A name of another framework.

    Attributes:
        framework: a key of `FRAMEWORKS`.
        module: their module, such as "torch.nn".
        name: their name.
        path: ours, such as "plait.nn.Linear", or "" if plait does not have it.
        remark: what differs, or why plait does not have it; or "".
        room: where users of that module look for it, such as "plait.nn".
    """

    framework: str
    module: str
    name: str
    path: str
    remark: str
    room: str


@functools.cache
def entries(framework: str) -> tuple[Entry, ...]:
    """Return all names of a framework, in the order of its file.

    Raises:
        ValueError: a line of the file does not follow the grammar.
    """
    text = resources.files(__package__).joinpath(f"{framework}.txt").read_text("utf-8")
    found = []
    module = room = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.fullmatch(line):
            module, room = section.groups()
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or not module:
            raise ValueError(f"{framework}.txt:{number}: cannot read {line!r}")
        name, other, remark, reason = parts.groups()
        path = ""
        if reason is None:
            ours = other or name
            path = ours if ours.startswith("plait.") else f"{room}.{ours}"
        said = remark or reason or ""
        found.append(Entry(framework, module, name, path, said, room))
    return tuple(found)


def find(name: str) -> list[Entry]:
    """Return what frameworks call by a name, in capital letters or not."""
    wanted = name.rpartition(".")[2].lower()
    return [
        entry
        for framework in FRAMEWORKS
        for entry in entries(framework)
        if entry.name.lower() == wanted
    ]


def spell(entry: Entry) -> str:
    """Return what is to be said about a name, in a sentence."""
    framework = FRAMEWORKS[entry.framework]
    remark = f" ({entry.remark})" if entry.remark else ""
    if not entry.path:
        return f"{framework}'s {entry.name} is left out: {entry.remark}"
    return f"{framework}'s {entry.name} is {entry.path}{remark}"


def missing(room: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a room that says where plait has what is asked for.

    Args:
        room: the name of the module, such as "plait.nn".
    """

    def fail(name: str) -> Any:
        raise MissingName(room, name)

    return fail


class MissingName(AttributeError):
    """A module, or the class of a tensor, has no such name.

    The message says what it is called here, if anything.

    It is made when it is read: Python also asks for names that need not be there.
    """

    def __str__(self) -> str:
        room, name = self.args
        return f"{room} has no {name!r}{_advice(room, name)}"


def _names(room: str) -> list[str]:
    """Return the public names of a module, or of a class of one."""
    if room in sys.modules:
        module = sys.modules[room]
        return list(getattr(module, "__all__", dir(module)))
    parent, _, name = room.rpartition(".")
    return dir(getattr(sys.modules[parent], name))


def _advice(room: str, name: str) -> str:
    own = _names(room)
    if name.startswith("_"):
        return ""
    near = [key for key in own if key.lower() == name.lower()]
    if not near:
        found = find(name)
        found = [entry for entry in found if entry.name == name] or found
        found = [entry for entry in found if entry.room == room] or found
        # One framework is enough for each answer.
        said = {entry.path: spell(entry) for entry in reversed(found)}
        if said:
            return ". " + ". ".join(reversed(said.values()))
        near = difflib.get_close_matches(name, own, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
