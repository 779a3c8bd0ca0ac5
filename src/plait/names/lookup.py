"""Names of other frameworks, and what plait has for each.

A file `<framework>.txt` has sections, `[their module -> our room]`, with a line a name:

    Conv2d                          the room has it under the same name
    Conv2d | a remark               the same
    Dense = Linear | a remark       the room has it under another name
    clamp = plait.clip              another room has it
    FlaxLayer - the reason          plait does not have it

Lines that begin with `#` are for readers of the file.

This module knows nothing of what the names stand for: `tests/names` compares.

Read first: `find`, `missing`.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable, Iterator
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
    "convnetjs": "ConvNetJS",
    "brainjs": "brain.js",
    "synaptic": "synaptic",
    "abbreviations": "abbreviations",
}
# Where plait keeps what users call by name.
ROOMS = (
    *("plait", "plait.nn", "plait.nn.init", "plait.optim", "plait.distributions"),
    *("plait.metrics", "plait.models", "plait.data", "plait.train", "plait.random"),
    *("plait.linalg", "plait.nn.prune"),
)
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
    theirs = f"{entry.module}.{entry.name}".removeprefix("abbreviations.")
    if not entry.path:
        return f"{theirs} is left out: {entry.remark}"
    remark = f" ({entry.remark})" if entry.remark else ""
    return f"{theirs} is {entry.path} here{remark}"


def modules(name: str) -> dict[str, str]:
    """Return modules of other frameworks that have a name in their path, each by the
    room of plait that has what is in it.
    """
    found: dict[str, str] = {}
    for framework in FRAMEWORKS:
        for entry in entries(framework):
            if entry.room in ROOMS and name in entry.module.split("."):
                found.setdefault(entry.room, entry.module)
    return found


def elsewhere(name: str) -> Iterator[str]:
    """Yield the paths under which plait itself has a name."""
    for room in ROOMS:
        found = found_at(room)
        value = getattr(found, name) if name in public(found) else types
        if not isinstance(value, types.ModuleType):
            yield f"{room}.{name}"


def public(room: Any) -> list[str]:
    """Return the public names of a module, or of an object."""
    found = list(getattr(room, "__all__", ())) or dir(room)
    if isinstance(room, types.ModuleType) and not hasattr(room, "__all__"):
        # What is its own, and not only imported there; `plait.tensor` is no user's.
        own = room.__name__
        homes = ("plait", own, own.replace(".tensor.", "."))
        values = vars(room).items()
        found = [n for n, x in values if getattr(x, "__module__", "") in homes]
    return [name for name in found if not name.startswith("_")]


def found_at(path: str) -> Any:
    """Return what a path such as "plait.linalg" leads to."""
    first, *rest = path.split(".")
    return functools.reduce(getattr, rest, sys.modules[first])


def missing(room: str) -> Callable[..., Any]:
    """Return a `__getattr__` that says where plait has what is asked for.

    Args:
        room: the name of a module, such as "plait.nn"; or of a class, such as
            "plait.nn.Module", for objects of it.
    """

    def fail(*asked: Any) -> Any:
        *owner, name = asked
        if owner and hasattr(type(owner[0]), name):
            # A property raised an AttributeError of its own, which tells more.
            return object.__getattribute__(owner[0], name)
        raise MissingName(room, name, *owner)

    return fail


class MissingName(AttributeError):
    """A module, or an object of a class, has no such name.

    The message says what it is called here, if anything.

    It is made when it is read: Python also asks for names that need not be there.
    """

    def __init__(self, room: str, name: str, owner: Any = None) -> None:
        super().__init__(room, name)
        self.owner = owner

    def __str__(self) -> str:
        room, name = self.args
        if self.owner is None:
            who, own = room, public(found_at(room))
        else:
            kind = type(self.owner).__name__
            who = room if room.endswith(f".{kind}") else kind
            own = public(self.owner)
        # Methods of a tensor are functions, too; what else is an object's, is its own.
        wide = self.owner is None or room == "plait.Tensor"
        return f"{who} has no {name!r}{_advice(room, name, own, wide)}"


def _advice(room: str, name: str, own: list[str], wide: bool) -> str:
    """Return the rest of a sentence about a name that a room has not."""
    if name.startswith("_"):
        return ""
    rooms = (*ROOMS, room) if wide else (room,)
    found = [entry for entry in find(name) if entry.room in rooms]
    here = [entry for entry in found if entry.room == room]
    same = [entry for entry in here if entry.name == name]
    if not same:
        if wide and (paths := list(elsewhere(name))):
            return f"; did you mean {paths[0]}?"
        if near := [key for key in own if key.lower() == name.lower()]:
            return f"; did you mean {near[0]!r}?"
    found = same or here or [one for one in found if one.name == name] or found
    # One framework is enough for each answer.
    said: dict[str, str] = {}
    for entry in found:
        said.setdefault(entry.path, spell(entry))
    if not said and wide:
        said = {
            ours: f"{there} is {ours} here" for ours, there in modules(name).items()
        }
    if said:
        return ". " + ". ".join(list(said.values())[:4])
    near = difflib.get_close_matches(name, own, 1, 0.82)
    return f"; did you mean {near[0]!r}?" if near else ""
