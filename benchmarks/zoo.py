"""All models of `plait.models`: compile times, and distances from PyTorch's nets.

usage: python benchmarks/zoo.py [--write] [--part PART] [--limit SECONDS] [NAME ...]

For each model, in a process of its own and with no code kept from earlier ones: the
first inference of one picture (or text of 32 tokens) and the first training step of two
(SGD), less what later ones take: recording and compiling, in seconds of processor
time, of all threads together, which say the same on a machine that is busy.

Then how far a result is from that of the same net in torchvision, timm or transformers,
computed in float64, with the same random weights: in float32, in PyTorch's float32, and
in float64. The unit is what different inputs make of the result, which in deep nets of
random weights is little: see tests/models/weights.py. Pictures are small there.

With --write, figures are kept in benchmarks/results/zoo.json, beside those of models
that were not measured now, and the table is put into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import duration, insert

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
RESULTS = FOLDER / "results" / "zoo.json"
LARGEST = 299  # pixels
# More parameters than these do not fit into memory in float64, twice.
DOUBLES = 700_000_000
TIMES = ("first inference", "first training step")
DISTANCES = ("float32", "PyTorch's float32", "float64")
PARTS = ("times", "distances")
Row = dict[str, Any]


def main() -> None:
    """Measure models, each in a process, and print the table."""
    new = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    new.add_argument("names", nargs="*", help="models; default: all, small ones first")
    new.add_argument("--write", action="store_true", help="keep figures and table")
    new.add_argument("--part", choices=PARTS, help="measure these only")
    new.add_argument("--limit", type=float, default=300.0, help="seconds of a model")
    new.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = new.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    if given.one:
        for part in (times, distances):
            if given.part in (None, part.__name__):
                for row in part(given.names[0]):
                    print(json.dumps(row), flush=True)
        return
    models: Any = importlib.import_module("plait.models")
    sizes = models.names()
    wanted = given.names or sorted(sizes, key=sizes.get)
    unknown = set(wanted) - set(sizes)
    if unknown:
        new.error(f"no such model: {', '.join(sorted(unknown))}")
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in wanted:
        found = {"parameters": sizes[name], **measured(name, given.part, given.limit)}
        kept[name] = (kept.get(name, {}) if given.part else {}) | found
        print(name, found, file=sys.stderr, flush=True)
        if given.write:
            save(kept)
    lines = list(table({name: kept[name] for name in sizes if name in kept}))
    print("\n".join(lines))
    if given.write:
        insert(FOLDER / "README.md", "zoo", lines)


def save(kept: dict[str, Row]) -> None:
    """Keep the figures, a line for each model."""
    rows = [f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept)]
    RESULTS.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def measured(name: str, part: str | None, limit: float) -> Row:
    """Return a model's figures, as far as they come within a time."""
    found: Row = {}
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        environment = {**os.environ, "PLAIT_CACHE": folder}
        command = [sys.executable, __file__, "--one", name]
        command += ["--part", part] if part else []
        try:
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, timeout=limit
            )
            said = done.stdout
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
            found["note"] = f"stopped after {limit:.0f} s"
    for line in said.splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # cut off
            found |= json.loads(line)
    return found


def times(name: str) -> Iterator[Row]:
    """Yield a model's compile times, one after another."""
    np: Any = importlib.import_module("numpy")
    plait: Any = importlib.import_module("plait")
    weights: Any = importlib.import_module("tests.models.weights")
    entry = plait.models.entry(name)
    plait.settings.execution = "compile"

    def inputs(count: int) -> Any:
        if name in texts():
            return plait.asarray(weights.tokens(count, 32))
        taken = entry.input or plait.models.Input()
        size = min(taken.size, LARGEST)
        return plait.asarray(weights.pictures(count, taken.channels, size))

    def loss(result: Any, labels: Any) -> Any:
        # Nets with auxiliary classifiers return a tuple in training, others texts
        # with a row for each token, or pictures with one for each pixel.
        result = result[0] if isinstance(result, tuple) else result
        rows = plait.flatten(
            plait.moveaxis(result, -1 if result.ndim == 3 else 1, -1), 0, -2
        )
        count = rows.shape[0] // labels.shape[0]
        return plait.cross_entropy(rows, plait.repeat(labels, count))

    net = entry.build()
    settle(net)
    net.eval()
    x = inputs(1)
    yield {TIMES[0]: first(lambda: leaf(net(x)).numpy())}
    net.train()
    step = plait.train.TrainStep(net, loss, plait.optim.SGD(net.parameters(), lr=1e-3))
    x, y = inputs(2), plait.asarray(np.arange(2))
    yield {TIMES[1]: first(lambda: (float(step(x, y)), settle(net)))}


def distances(name: str) -> Iterator[Row]:
    """Yield how far a model is from the same in PyTorch, if that is installed."""
    plait: Any = importlib.import_module("plait")
    references: Any = importlib.import_module("tests.models.references")
    weights: Any = importlib.import_module("tests.models.weights")
    entry = plait.models.entry(name)
    if references.libraries() is None:
        return
    options = {"device": "cpu"} if name in texts() else {}
    try:
        theirs = references.reference(name, **options)
    except ImportError:
        return
    references.randomised(theirs, name)
    own = entry.build(**references.OPTIONS.get(name, {})).eval()
    own.load_state_dict({key: x.numpy() for key, x in theirs.state_dict().items()})

    def result(dtype: Any) -> Any:
        x = plait.asarray(references.inputs(name))
        return leaf(own.to(dtype)(x if name in texts() else x.to(dtype))).numpy()

    found = {
        DISTANCES[0]: result(plait.float32),
        DISTANCES[1]: references.result(theirs, name),
    }
    expected = found[DISTANCES[1]]
    if entry.parameters < DOUBLES:
        expected = references.result(theirs.double(), name)
        del theirs
        found[DISTANCES[2]] = result(plait.float64)
    else:
        del found[DISTANCES[1]]
    yield {key: weights.difference(value, expected) for key, value in found.items()}


def texts() -> Any:
    """Return the names of language models."""
    return importlib.import_module("tests.models.other_references").TEXTS


def leaf(result: Any) -> Any:
    """Return a result, or the first of several."""
    return result[0] if isinstance(result, tuple) else result


def settle(net: Any) -> None:
    """Wait until a net's state is computed."""
    for tensor in net.state_dict().values():
        tensor.numpy()


def first(run: Callable[[], Any]) -> float:
    """Return how much processor time a first run takes more than later ones."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return max(times[0] - min(times[1:]), 0.0)


def table(kept: dict[str, Row]) -> Iterator[str]:
    """Yield the lines of a table."""
    titles = ("parameters", *TIMES, *DISTANCES)
    yield f"| | {' | '.join(titles)} |"
    yield f"|---{'|---:' * len(titles)}|"
    for name, row in kept.items():
        cells = [f"{row['parameters']:,}"]
        for title in TIMES:
            cells.append(duration(row[title]) if title in row else row.get("note", ""))
        cells += [f"{row[x]:.1e}" if x in row else "" for x in DISTANCES]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
