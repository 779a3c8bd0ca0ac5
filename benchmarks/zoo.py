"""All models of `plait.models`: compile times, and distances from PyTorch's nets.

usage: python benchmarks/zoo.py [--write] [--limit SECONDS] [--total SECONDS] [NAME ...]

For each model, in a process of its own and with no code kept from earlier ones: the
first inference of one picture and the first training step of two (SGD), less what the
third one takes: recording and compiling, in seconds of processor time, of all threads
together, which say the same on a machine that is busy. Then the greatest difference of
a result from that of the same net in torchvision or timm with the same random weights,
in units of what different pictures make of it; pictures are small there, see
tests/models/references.py. With --write, figures are kept in
benchmarks/results/zoo.json, beside those of models that were not measured now, and the
table is put into benchmarks/README.md.
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
COLUMNS = ("parameters", "first inference", "first training step", "difference")
Row = dict[str, Any]


def main() -> None:
    """Measure models, each in a process, and print the table."""
    new = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    new.add_argument("names", nargs="*", help="models; default: all, small ones first")
    new.add_argument("--write", action="store_true", help="keep figures and table")
    new.add_argument("--limit", type=float, default=300.0, help="seconds of a model")
    new.add_argument("--total", type=float, default=1e9, help="seconds of all models")
    new.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = new.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    if given.one:
        for part in parts(given.names[0]):
            print(json.dumps(part), flush=True)
        return
    models: Any = importlib.import_module("plait.models")
    sizes = models.names()
    # Of nets of texts there is no picture to measure with.
    seeing = [name for name in sizes if models.entry(name).input is not None]
    wanted = given.names or sorted(seeing, key=sizes.get)
    unknown = set(wanted) - set(seeing)
    if unknown:
        new.error(f"no such model of pictures: {', '.join(sorted(unknown))}")
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    end = time.monotonic() + given.total
    for name in wanted:
        limit = min(given.limit, end - time.monotonic())
        if limit <= 0:
            break
        kept[name] = measured(name, limit)
        print(name, kept[name], file=sys.stderr, flush=True)
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


def measured(name: str, limit: float) -> Row:
    """Return a model's figures, as far as they come within a time."""
    found: Row = {}
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        environment = {**os.environ, "PLAIT_CACHE": folder}
        command = [sys.executable, __file__, "--one", name]
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


def parts(name: str) -> Iterator[Row]:
    """Yield a model's figures one after another."""
    np: Any = importlib.import_module("numpy")
    plait: Any = importlib.import_module("plait")
    train: Any = importlib.import_module("plait.train")
    references: Any = importlib.import_module("tests.models.references")
    weights: Any = importlib.import_module("tests.models.weights")
    entry = plait.models.entry(name)
    yield {"parameters": entry.parameters}
    plait.settings.execution = "compile"
    size = min(entry.input.size, LARGEST)

    def pictures(count: int) -> Any:
        return plait.asarray(weights.pictures(count, entry.input.channels, size))

    def fresh(**options: Any) -> Any:
        net = entry.build(**options)
        settle(net)
        return net

    net = fresh().eval()
    x = pictures(1)
    yield {"first inference": first(lambda: net(x).numpy())}
    net = fresh()
    loss = plait.nn.CrossEntropyLoss()
    step = train.TrainStep(
        net,
        # Nets with auxiliary classifiers return a tuple in training.
        lambda result, y: loss(result[0] if isinstance(result, tuple) else result, y),
        plait.optim.SGD(net.parameters(), lr=1e-3),
    )
    x, y = pictures(2), plait.asarray(np.arange(2))
    yield {"first training step": first(lambda: (float(step(x, y)), settle(net)))}
    if references.libraries() is None:
        return
    try:
        theirs = references.reference(name)
    except ImportError:
        return
    references.randomised(theirs, name)
    own = entry.build(**references.OPTIONS.get(name, {})).eval()
    own.load_state_dict({key: x.numpy() for key, x in theirs.state_dict().items()})
    got = own(plait.asarray(references.pictures(name))).numpy()
    yield {"difference": weights.difference(got, references.result(theirs, name))}


def settle(net: Any) -> None:
    """Wait until a net's state is computed."""
    for tensor in net.state_dict().values():
        tensor.numpy()


def first(run: Callable[[], Any]) -> float:
    """Return how much processor time a first run takes more than a third one."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return max(times[0] - times[2], 0.0)


def table(kept: dict[str, Row]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| | {' | '.join(COLUMNS)} |"
    yield f"|---{'|---:' * len(COLUMNS)}|"
    for name, row in kept.items():
        cells = [f"{row['parameters']:,}"]
        for column in COLUMNS[1:3]:
            cells.append(
                duration(row[column]) if column in row else row.get("note", "")
            )
        cells.append(f"{row['difference']:.1e}" if "difference" in row else "")
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
