"""The rules of the house, checked on the source: layers, imports, names, docstrings.

A room is a top-level module or folder of the package. A module imports only from rooms
of lower layers and from its own. From layer 6 on, plait is written as its users would
write it, with what `import plait` gives them.
"""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

import plait

PACKAGE = Path(__file__).parent.parent / "src" / "plait"

LAYERS: dict[int, tuple[str, ...]] = {
    0: (
        *("ahead", "arguments", "errors", "dtypes", "late", "names", "shapes"),
        *("settings", "stopwatch", "trees", "unchanged", "web"),
    ),
    1: ("ir",),
    2: ("ops", "program"),
    3: ("transform", "worth"),
    4: ("compile", "runtime"),
    5: ("tensor",),
    6: ("nn", "optim", "data", "distributions", "metrics"),
    7: ("train", "interop", "export", "models", "plots"),
    8: ("__init__",),  # what `import plait` gives: all but the command line
    9: ("cli", "__main__"),
}
LAYER = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
USERS_LAYER = 6
# Rooms at or above the users' layer that may look further inside, and why.
INSIDERS = {
    "nn": {"late"},  # what few programs need is imported when it is asked for
    "optim": {"late"},
    "interop": {room for room in LAYER if LAYER[room] < USERS_LAYER},  # reads graphs
    "export": {room for room in LAYER if LAYER[room] < USERS_LAYER},  # and programs
    "__init__": {room for room in LAYER if LAYER[room] < USERS_LAYER},
    "cli": {"ir", "runtime"},  # `plait show` prints graphs, `plait cache` clears one
}
# Imports inside a function: (module, what it imports) -> why it must be there.
LOCAL_IMPORTS = {
    ("errors.py", "importlib"): "`optional` is the one way to import a library late",
}
LIBRARIES = {"ml_dtypes", "numpy", "plait", "safetensors", *sys.stdlib_module_names}
OPTIONAL_LIBRARIES = (
    "PIL",
    "h5py",
    "llvmlite",
    "matplotlib",
    "pyarrow",
    "scipy",
    "torch",
    "tqdm",
)
BANNED_NAMES = {"utils", "helpers", "common", "misc", "core", "base"}
# What is called for names that a package does not have.
GETATTR = re.compile(
    r"(if not TYPE_CHECKING:\n    )?__getattr__ = (missing|late_rooms)\(.*\)"
    r"|if TYPE_CHECKING:\n(    from \..* import .*\n)+"
    r"else:\n    __getattr__, __dir__ = late_names\(.*\)"
)
SIMPLE = (
    ast.Name,
    ast.Attribute,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Starred,
    ast.BinOp,
    ast.Add,
    ast.expr_context,
)

SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def read(name: str) -> str:
    return (PACKAGE / name).read_text(encoding="utf-8")


PUBLIC = set(plait.__all__)

# --- the checks: each yields "line: what is wrong" for one module


def imported(
    tree: ast.Module, name: str, rooms: set[str]
) -> Iterator[tuple[int, str, str]]:
    """Yield (line, module, name or "") of each import, `TYPE_CHECKING` or not.

    A room taken by name, `from plait import nn`, is given as a module.
    """
    package = ("plait", *PurePosixPath(name).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*parts, *filter(None, [node.module])))
            for alias in node.names:
                if module == "plait" and alias.name in rooms:
                    yield node.lineno, f"plait.{alias.name}", ""
                else:
                    yield node.lineno, module, alias.name


def layer_faults(name: str, source: str, public: set[str] = PUBLIC) -> Iterator[str]:
    """Check every import of the module, and what it takes out of `plait.`."""
    tree = ast.parse(source)
    room = PurePosixPath(name).parts[0].removesuffix(".py")
    if room not in LAYER:
        yield f"1: the room {room!r} is not in LAYERS"
        return
    rooms = set(LAYER)
    if LAYER[room] >= USERS_LAYER:
        # For users, `plait.tensor` is a function, not the room of that name.
        rooms -= {one for one in public & rooms if LAYER[one] < USERS_LAYER}
    for line, module, item in imported(tree, name, rooms):
        if module.split(".")[0] not in LIBRARIES:
            yield f"{line}: {module} must be had through plait.errors.optional"
        elif module == "plait":
            if LAYER[room] < USERS_LAYER:
                yield f"{line}: {room} lies below `import plait`"
            elif item.startswith("_") and not item.endswith("__"):
                yield f"{line}: {item} is private"
        elif module.startswith("plait."):
            target = module.split(".")[1]
            yield from (f"{line}: {fault}" for fault in room_faults(room, target))
            private = item.startswith("_") and not item.endswith("__")
            if LAYER[room] >= USERS_LAYER and target != room and private:
                yield f"{line}: {item} is private to {target}"
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "plait"
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and node.attr in rooms
        ):
            yield from (
                f"{node.lineno}: {fault}" for fault in room_faults(room, node.attr)
            )


def room_faults(room: str, target: str) -> Iterator[str]:
    """Check that a module of `room` may import from the room `target`."""
    if target not in LAYER:
        yield f"the room {target!r} is not in LAYERS"
        return
    own, other = LAYER[room], LAYER[target]
    if room == target or target in ("arguments", "errors", "names"):
        return
    if other > own or (other == own and 0 < own < USERS_LAYER):
        yield f"{room} (layer {own}) may not import {target} (layer {other})"
    elif own >= USERS_LAYER > other and target not in INSIDERS.get(room, ()):
        yield f"{room} may use only what users can import, not plait.{target}"


def late_import_faults(name: str, source: str) -> Iterator[str]:
    """Check that modules are imported at the top, where they are seen."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = ["." * node.level + (node.module or "")]
            else:
                continue
            for module in modules:
                if (name, module) not in LOCAL_IMPORTS:
                    yield f"{node.lineno}: {function.name}() imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name not in ("errors.py", "late.py"):
            called = ast.unparse(node.func)
            if called == "__import__" or called.split(".")[-1] == "import_module":
                yield f"{node.lineno}: {called}() hides an import"


def late_module_faults(name: str, source: str) -> Iterator[str]:
    """Check that what `late` imports is imported for readers and tools too."""
    tree = ast.parse(source)
    calls = {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "late"
    }
    package = ("plait", *PurePosixPath(name).parts[:-1])
    for branch in tree.body:
        if not isinstance(branch, ast.If):
            continue
        if ast.unparse(branch.test) != "TYPE_CHECKING":
            continue
        shown = {
            alias.name: ".".join(
                (
                    *(package[: len(package) - node.level + 1] if node.level else ()),
                    *filter(None, [node.module]),
                    alias.name,
                )
            )
            for node in branch.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        shown |= {
            alias.name: alias.name
            for node in branch.body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        for node in branch.orelse:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                alias = ast.unparse(node.targets[0])
                if ast.unparse(node.value) == f"late('{shown.get(alias)}')":
                    calls.discard(node.lineno)
    for line in sorted(calls):
        yield f"{line}: a late module that is not imported under TYPE_CHECKING"


def init_faults(name: str, source: str) -> Iterator[str]:
    """Check that an `__init__.py` holds names and nothing that runs."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign) and all(
            isinstance(part, SIMPLE) for part in ast.walk(node.value or node.target)
        ):
            continue
        if isinstance(node, ast.Assign | ast.If) and GETATTR.fullmatch(
            ast.unparse(node)
        ):
            continue
        yield f"{node.lineno}: logic in an __init__.py"


def docstring_faults(name: str, source: str) -> Iterator[str]:
    """Check that the module and its public functions and classes say what they are."""
    tree = ast.parse(source)
    if tree.body and not ast.get_docstring(tree):
        yield "1: the module has no docstring"
    for node in tree.body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not is_overload(node)
            and not ast.get_docstring(node)
        ):
            yield f"{node.lineno}: {node.name} has no docstring"


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any("overload" in ast.unparse(mark) for mark in node.decorator_list)


def name_faults(name: str, source: str) -> Iterator[str]:
    """Check that no file or folder is named as a drawer for anything."""
    for part in PurePosixPath(name).with_suffix("").parts:
        if part in BANNED_NAMES:
            yield f"1: {part!r} says nothing about what is inside"


# --- the rules hold for the package


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_keeps_the_rules(name):
    source = read(name)
    checks = [
        layer_faults, late_import_faults, late_module_faults, docstring_faults,
        name_faults,
    ]  # fmt: skip
    if PurePosixPath(name).name == "__init__.py":
        checks.append(init_faults)
    faults = [fault for check in checks for fault in check(name, source)]
    assert not faults, "\n".join(f"src/plait/{name}:{fault}" for fault in faults)


def test_the_exceptions_are_still_needed():
    for (name, module), reason in LOCAL_IMPORTS.items():
        assert f"import {module}" in read(name), reason


def test_public_names_exist_and_are_documented():
    things: dict[str, object] = {}
    exec("from plait import *", things)  # imports all rooms, unlike `import plait`
    assert set(things) >= PUBLIC
    bare = [
        name
        for name, thing in things.items()
        if name in PUBLIC
        if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing)
        if not thing.__doc__
    ]
    assert not bare, f"no docstring: {sorted(bare)}"


def test_importing_plait_imports_no_optional_library():
    code = (
        "import sys, plait\n"
        f"print([name for name in {OPTIONAL_LIBRARIES!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_importing_plait_imports_neither_compiler_nor_runtime():
    code = (
        "import sys, plait\n"
        "rooms = {name.split('.')[1] for name in sys.modules if 'plait.' in name}\n"
        "print(sorted(rooms & {'compile', 'runtime'}), 'numpy.random' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[] False", "")


# --- the checks find what they are for


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ir/graph.py", "from ..ops.elementwise import add"),
        ("ir/graph.py", "from .. import ops"),
        ("ir/graph.py", "from plait.ops import add"),
        ("ir/graph.py", "import plait.tensor"),
        ("ir/graph.py", "import plait"),
        ("ir/graph.py", "from plait import Tensor"),
        ("ir/deep/graph.py", "from ...ops import add"),
        ("ir/graph.py", "if TYPE_CHECKING:\n    from ..ops import add"),
        ("errors.py", "from .ir import graph"),
        ("errors.py", "from . import Tensor"),
        ("data/idx.py", "from ..nn.module import _private"),
        ("data/idx.py", "from plait import _private"),
        ("data/idx.py", "from ..train import engine"),
        ("data/idx.py", "from ..dtypes import float32"),
        ("nn/linear.py", "from ..tensor.tensor import Tensor"),
        ("nn/linear.py", "from .. import tensor"),
        ("nn/linear.py", "import plait\nplait.ops.add(1, 2)"),
        ("nn/linear.py", "import plait as p\np.ir.graph"),
        ("cli/main.py", "from plait.ops import add"),
        ("train/log.py", "import tqdm"),
        ("drawer/things.py", ""),
        ("nn/linear.py", "from ..drawer import things"),
    ],
)
def test_a_forbidden_import_is_found(name, source):
    assert len(list(layer_faults(name, source, public=set()))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("__init__.py", "from .tensor import Tensor\nfrom . import nn"),
        ("shapes.py", "from .errors import ShapeError\nfrom . import dtypes"),
        ("ops/elementwise.py", "from ..ir.build import apply\nfrom . import reduce"),
        ("ops/elementwise.py", "from ..dtypes import _lattice\nimport numpy as np"),
        ("nn/linear.py", "from plait import Tensor, __version__, nn, optim"),
        ("nn/linear.py", "from ..errors import ShapeError\nfrom ..optim import SGD"),
        ("nn/linear.py", "import plait\nplait.zeros(3).ops\nplait.nn.Linear"),
        ("train/engine.py", "from ..data import digits"),
        ("interop/onnx_read.py", "from ..ir.graph import Graph"),
        ("cli/show.py", "from plait.ir import text\nfrom plait.train import engine"),
        ("__main__.py", "from .cli.main import main"),
    ],
)
def test_an_allowed_import_passes(name, source):
    assert list(layer_faults(name, source, public=set())) == []


def test_a_public_name_hides_the_inner_room_of_that_name():
    taken = "from plait import nn, tensor\nimport plait\nplait.tensor([1])"
    public = {"nn", "optim", "tensor", "train"}
    assert list(layer_faults("nn/linear.py", taken, public)) == []
    assert list(layer_faults("nn/linear.py", "from plait import train", public))
    assert list(layer_faults("nn/linear.py", "import plait.tensor", public))
    assert list(layer_faults("ir/graph.py", "from .. import tensor", public))


def test_a_late_import_is_found():
    source = "def f():\n  import gzip\nclass C:\n  def g(self):\n    from . import x"
    assert len(list(late_import_faults("nn/linear.py", source))) == 2
    assert len(list(late_import_faults("x.py", "importlib.import_module('gzip')"))) == 1


def test_a_late_module_that_is_not_shown_is_found():
    shown = "if TYPE_CHECKING:\n  from ..compile import pipeline\nelse:\n  "
    right = f"{shown}pipeline = late('plait.compile.pipeline')"
    assert list(late_module_faults("tensor/tier.py", right)) == []
    for wrong in (
        "pipeline = late('plait.compile.pipeline')",
        f"{shown}pipeline = late('plait.compile.saved')",
        f"{shown}saved = late('plait.compile.pipeline')",
        "def f():\n  return late('plait.compile.pipeline')",
    ):
        assert len(list(late_module_faults("tensor/tier.py", wrong))) == 1


@pytest.mark.parametrize(
    "source", ["f()", "x = f()", "def f(): ...", "if x:\n    import y", "for x in y: z"]
)
def test_logic_in_an_init_is_found(source):
    allowed = '"""Doc."""\nfrom . import a\n__all__ = ["a", *a.__all__]\nb = a.b\n'
    assert list(init_faults("nn/__init__.py", allowed)) == []
    assert len(list(init_faults("nn/__init__.py", allowed + source))) == 1


def test_a_missing_docstring_is_found():
    source = "def f(): ...\nclass C: ...\ndef _g(): ...\n@overload\ndef h(): ..."
    assert len(list(docstring_faults("x.py", source))) == 3


def test_a_banned_name_is_found():
    assert len(list(name_faults("nn/utils.py", ""))) == 1
    assert len(list(name_faults("core/graph.py", ""))) == 1
    assert list(name_faults("nn/linear.py", "")) == []
