"""Compares the names of other frameworks, `src/plait/names/*.txt`, with plait.

    python tools/compare_names.py            print how many of each module plait has
    python tools/compare_names.py --check    exit with 1 if a path leads nowhere

Where PyTorch or Keras is installed, its own lists are compared with the files, too.
"""

import argparse
import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import plait
from plait.names import FRAMEWORKS, entries

# Modules whose classes, or functions, the files list all of.
LISTED = {
    "pytorch": (
        "torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.nn.init",
        "torch.distributions", "torch.special", "torch.linalg",
    ),
    "keras": (
        "keras.layers", "keras.losses", "keras.metrics", "keras.optimizers",
        "keras.optimizers.schedules", "keras.initializers", "keras.regularizers",
        "keras.constraints", "keras.activations", "keras.ops",
    ),
}  # fmt: skip
FUNCTIONS = {
    "torch.nn.init", "torch.special", "torch.linalg", "keras.activations", "keras.ops",
}  # fmt: skip


def resolve(path: str) -> Any:
    """Return what a path such as "plait.nn.Linear" leads to.

    Raises:
        AttributeError: it leads nowhere.
    """
    value: Any = plait
    for part in path.split(".")[1:]:
        value = getattr(value, part)
    return value


def lost(framework: str) -> Iterator[str]:
    """Yield what is wrong with the file of a framework."""
    seen = set()
    for entry in entries(framework):
        place = f"{framework}.txt: {entry.module}.{entry.name}"
        if (entry.module, entry.name) in seen:
            yield f"{place} is there twice"
        seen.add((entry.module, entry.name))
        if not entry.path:
            continue
        try:
            resolve(entry.path)
        except AttributeError:
            yield f"{place}: there is no {entry.path}"


def public(module: Any) -> set[str]:
    """Return the classes of another framework's module, or its functions."""
    functions = module.__name__ in FUNCTIONS
    return {
        name
        for name in getattr(module, "__all__", vars(module))
        if not name.startswith("_")
        and inspect.isclass(getattr(module, name)) != functions
        and callable(getattr(module, name))
        and (functions or name[0].isupper())
        and (module.__name__ != "torch.nn.init" or name.endswith("_"))
        and name not in ("get", "serialize", "deserialize")
    }


def unlisted(framework: str) -> Iterator[str]:
    """Yield names of an installed framework that its file lacks."""
    listed = {(entry.module, entry.name) for entry in entries(framework)}
    for name in LISTED.get(framework, ()):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for theirs in sorted(public(module)):
            if (name, theirs) not in listed:
                yield f"{framework}.txt lacks {name}.{theirs}"


def table() -> Iterator[str]:
    """Yield a row for each module of each framework."""
    yield f"{'module':<36}{'names':>7}{'same':>7}{'other':>7}{'left out':>10}"
    for framework in FRAMEWORKS:
        found = entries(framework)
        for module in dict.fromkeys(entry.module for entry in found):
            own = [entry for entry in found if entry.module == module]
            out = sum(not entry.path for entry in own)
            same = sum(entry.path.rpartition(".")[2] == entry.name for entry in own)
            other = len(own) - same - out
            yield f"{module:<36}{len(own):>7}{same:>7}{other:>7}{out:>10}"


def main() -> int:
    """Print the table, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    faults = [
        fault
        for framework in FRAMEWORKS
        for fault in (*lost(framework), *unlisted(framework))
    ]
    print("\n".join(faults if options.check else [*table(), *faults]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
