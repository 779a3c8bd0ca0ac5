"""Training and inference inside a web page, beside the browser frameworks.

usage: python benchmarks/browser/run.py [--quick] [--peers A,B] [--sections A,B] ...

Needs Chromium, and npm for all peers but plait: their packages, pinned in package.json,
are installed into a folder of the user's cache at the first use. All peers run in one
Chromium, each in a page and process of its own. Every call hands typed arrays over and
reads the result back. The other options are explained in benchmarks/harness.py.

Sections: `mlp-train` and `mlp-infer` (the nets of Ma et al. 2019, "Moving Deep Learning
into Web Browser: How Far Can We Go?", section 3: 784 -> depth x width -> 10), `cnn`,
`start` (from the navigation to the first result, with a new profile), `size` (bytes to
download, gzip), `curves` (losses of a longer training).

Read first: `PEERS`, `SECTIONS`, `Pages`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
for _place in (FOLDER.parent / "peers", FOLDER.parent, FOLDER.parent.parent / "src"):
    sys.path.insert(0, str(_place))

import models  # noqa: E402
from chromium import Chromium, Tab  # noqa: E402
from harness import (  # noqa: E402
    Case,
    Found,
    Options,
    Section,
    Suite,
    duration,
    main,
    measure,
    quartiles,
    show_times,
    table,
    worst,
)
from processes import Missing  # noqa: E402
from server import Query, Server  # noqa: E402


class Peer(NamedTuple):
    """A peer's page: its module in `pages`, scripts that it needs before, and a word
    that says which part of it is meant.
    """

    module: str
    scripts: tuple[str, ...] = ()
    part: str = ""
    threads: bool = False


PEERS = {
    "plait": Peer("plait", threads=True),
    "plait-simd": Peer("plait", part="simd"),
    "tfjs-wasm": Peer("tfjs", part="wasm", threads=True),
    "tfjs-cpu": Peer("tfjs", part="cpu"),
    "tfjs-webgl": Peer("tfjs", part="webgl"),
    "tfjs-webgpu": Peer("tfjs", part="webgpu"),
    "convnetjs": Peer("convnetjs", ("/npm/convnetjs/build/convnet-min.js",)),
    "brain": Peer("brain", ("/npm/brain.js/browser.min.js",)),
    "synaptic": Peer("synaptic", ("/npm/synaptic/dist/synaptic.min.js",)),
    "jax-js": Peer("jax", part="wasm", threads=True),
    "onnxruntime-web": Peer(
        "ort", ("/npm/onnxruntime-web/dist/ort.wasm.min.js",), threads=True
    ),
}
BATCH = 64
NODE = ("fs", "path", "os", "util", "crypto", "perf_hooks", "worker_threads")
TRAINING = tuple(peer for peer in PEERS if peer != "onnxruntime-web")
INFERRING = tuple(peer for peer in PEERS if peer != "synaptic")
# Others have no convolutions.
CONVOLVING = tuple(peer for peer in PEERS if peer not in ("brain", "synaptic"))
CONVOLVED = tuple(peer for peer in TRAINING if peer in CONVOLVING)
# Synaptic takes seconds for a batch of the smallest net.
USUALLY = tuple(peer for peer in TRAINING if peer != "synaptic")
OURS = ("/pages/",)  # what the pages load of ours
DATA = (".bin", ".onnx", ".safetensors")


class Pages:
    """The server, the browser and the peers' tabs; the browser starts when needed."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="benchmark-pages-")
        self.work = Path(self.folder.name)
        self.server = Server({"pages": FOLDER / "pages"}, self.page, self.work)
        self.browser: Chromium | None = None
        self.specs: dict[str, dict[str, Any]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.spent = 0.0

    def page(self, query: Query) -> str:
        """Return a peer's page."""
        peer = PEERS[query["peer"]]
        scripts = "\n".join(f'<script src="{name}"></script>' for name in peer.scripts)
        tab, threads = json.dumps(query["tab"]), int(query["threads"])
        call = f"serve(peer, {tab}, {threads})"
        if "first" in query:
            spec = json.dumps(self.specs[query["first"]])
            call = f"first(peer, {tab}, {threads}, {spec})"
        return f"""\
<!doctype html>
<meta charset="utf-8">
<title>{query["peer"]}</title>
<link rel="icon" href="data:,">
{scripts}
<script type="module">
import * as peer from "/pages/{peer.module}.js";
import {{ first, serve }} from "/pages/protocol.js";
{call};
</script>
"""

    def open(self, peer: str, threads: int, host: str = "", first: str = "") -> Tab:
        """Open a peer's page.

        Args:
            peer: whose.
            threads: how many it is to use.
            host: the host's name; the peer's, if not given.
            first: the case whose first result the page is to find.

        Raises:
            Missing: something that it needs is not installed.
        """
        used = PEERS[peer]
        if threads > 1 and not used.threads:
            raise Missing(f"{peer}: has one thread")
        if used.module != "plait" and "npm" not in self.server.folders:
            cache = packages()
            found = {"npm": cache / "node_modules", "bundles": cache / "bundles"}
            self.server.folders |= found
        if self.browser is None:
            self.browser = Chromium(self.server)
        query = f"peer={peer}&threads={threads}&backend={used.part}"
        return self.browser.tab(
            host or peer, query + (f"&first={first}" if first else "")
        )

    def worker(self, peer: str, threads: int, options: Options) -> Worker:
        """Return what the harness asks instead of a process."""
        return Worker(self, peer, threads)

    def spec(self, spec: dict[str, Any], peer: str) -> dict[str, Any]:
        """Return a specification with the addresses of what a peer needs for it."""
        full = dict(self.shared(spec))
        if PEERS[peer].module == "ort":
            full["onnx"] = self.put(spec, ".onnx", models.onnx_model(spec))
        if PEERS[peer].module == "plait":
            full["folder"] = self.export(spec)
        return full

    def shared(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Return a specification with what all peers need for it."""
        key = digest(spec)
        if key not in self.made:
            described = {
                name: {
                    "url": self.put({**spec, "array": name}, ".bin", value.tobytes()),
                    "kind": str(value.dtype),
                    "shape": value.shape,
                }
                for name, value in models.arrays(spec).items()
            }
            more = {"arrays": described, "layers": list(models.layers(spec))}
            self.made[key] = {**spec, **more}
        return self.made[key]

    def put(self, spec: dict[str, Any], ending: str, data: bytes) -> str:
        """Write a file, and return its address."""
        name = f"{digest(spec)}{ending}"
        (self.work / name).write_bytes(data)
        return f"/data/{name}"

    def export(self, spec: dict[str, Any]) -> str:
        """Return the address of the folder that plait exports for a net."""
        of_net = {name: spec.get(name) for name in ("net", "depth", "width", "rows")}
        folder = self.work / digest(of_net)
        if not folder.exists():
            models.export({**spec, "batch": BATCH}, folder)
        return f"/data/{folder.name}/"

    def seconds(self) -> float:
        """Return how long the browsers used the processor."""
        return self.spent + (self.browser.seconds() if self.browser else 0.0)

    def quit(self) -> None:
        """End the browser; the next page starts another, with a new profile."""
        if self.browser is not None:
            self.spent += self.browser.seconds()
            self.browser.close()
            self.browser = None

    def close(self) -> None:
        """End all."""
        self.quit()
        self.server.close()
        self.folder.cleanup()


class Worker:
    """A peer's tab, asked by the harness as it asks a process."""

    def __init__(self, pages: Pages, peer: str, threads: int) -> None:
        self.pages, self.peer = pages, peer
        self.tab = pages.open(peer, threads)
        assert pages.browser is not None
        self.facts = {
            "browser": pages.browser.version,
            **self.tab.ask({})["facts"],
        }

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        if "make" in request:
            try:
                request = {"make": self.pages.spec(request["make"], self.peer)}
            except Missing as error:
                raise RuntimeError(str(error)) from error
        return self.tab.ask(request)

    def close(self) -> None:
        """Close the tab."""
        self.tab.close()


def digest(spec: dict[str, Any]) -> str:
    """Return a name for a specification."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def packages() -> Path:
    """Return the cache's folder of the peers' packages; make it if it is not there.

    `node_modules` are the packages; `bundles` are those that come in many modules, put
    together as their users would, without what is not needed.

    Raises:
        Missing: there is no npm, or it failed.
    """
    files = [FOLDER / "package.json", *sorted((FOLDER / "entries").iterdir())]
    known = hashlib.sha256(b"".join(map(Path.read_bytes, files))).hexdigest()[:12]
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(caches) / f"plait-browser-{known}"
    if (folder / "done").exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / "package.json", folder)
    shutil.copytree(FOLDER / "entries", folder / "entries", dirs_exist_ok=True)
    # Packages' own scripts are not run.
    call(npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    bundle(folder, "jax", "jax")
    for part in ("wasm", "cpu", "webgl", "webgpu"):
        alias = f"--alias:BACKEND=@tensorflow/tfjs-backend-{part}"
        bundle(
            folder, "tfjs", f"tfjs-{part}", alias, *map("--external:{}".format, NODE)
        )
    (folder / "done").touch()
    return folder


def bundle(folder: Path, entry: str, name: str, *options: str) -> None:
    """Put the modules that an entry needs into one."""
    call(
        str(folder / "node_modules" / ".bin" / "esbuild"), f"entries/{entry}.js",
        "--bundle", "--minify", "--splitting", "--format=esm",
        f"--outdir=bundles/{name}", *options, folder=folder,
    )  # fmt: skip


def call(*command: str, folder: Path) -> None:
    """Run a command in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-1000:], file=sys.stderr)
        raise Missing(f"{command[0]} failed")


# --- sections


def measure_pages(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Time all cases; what peers find is compared with what plait finds in Python."""
    for case, _ in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        entry["expected"] = [float(f"{v:.6g}") for v in models.expected(case.spec)]
    measure(section, options, threads, found)


def first_results(
    pages: Pages, options: Options, case: Case, peers: Sequence[str], turn: int
) -> Iterator[tuple[str, float, dict[str, Path]]]:
    """Yield each peer's seconds until its first result, and the files it loaded."""
    for peer in peers:
        key = digest({**case.spec, "peer": peer})
        try:
            pages.specs[key] = pages.spec(case.spec, peer)
            host = f"{peer}-{key}-{turn}"
            tab = pages.open(peer, 1, host, key)
            seconds = tab.answer()["seconds"]
            tab.close()
        except (Missing, RuntimeError) as error:
            print(f"left out: {peer}: {error}", file=sys.stderr)
            continue
        yield peer, seconds, pages.server.seen.get(host, {})


def measure_start(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Measure the first results of new pages; each round begins with a new profile."""
    pages = options.suite.place
    samples: dict[str, dict[str, list[float]]] = {}
    chosen = list(options.chosen(section))
    for turn in range(min(options.rounds, section.cases[0].rounds)):
        pages.quit()
        for case, peers in chosen:
            first = turn % len(peers)
            order = peers[first:] + peers[:first]
            for peer, seconds, _ in first_results(pages, options, case, order, turn):
                several = samples.setdefault(case.name, {}).setdefault(peer, [])
                several.append(seconds)
    for name, by_peer in samples.items():
        entry = found["cases"].setdefault(name, {"peers": {}})
        for peer, seconds in by_peer.items():
            low, middle, high = quartiles(seconds)
            entry["peers"][peer] = {
                "median": middle, "low": low, "high": high, "samples": len(seconds),
            }  # fmt: skip
            print(f"{name}: {peer} {duration(middle)}", file=sys.stderr, flush=True)
    if pages.browser is not None:
        found.setdefault("facts", {})["browser"] = {"browser": pages.browser.version}


def measure_size(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Count what pages load until their first result, without weights and pages."""
    pages = options.suite.place
    for case, peers in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        for peer, _, seen in first_results(pages, options, case, peers, -1):
            files = {
                path.rpartition("/")[2]: len(gzip.compress(file.read_bytes(), 9))
                for path, file in seen.items()
                if not path.startswith(OURS) and file.suffix not in DATA
            }
            entry["peers"][peer] = {"median": sum(files.values()), "files": files}


def show_size(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of bytes."""
    yield from table(section, found, lambda case, count: f"{count / 1000:.1f} kB")


def measure_curves(
    section: Section, options: Options, threads: int, found: Found
) -> None:
    """Note the losses of a longer training, from the same weights and batches."""
    pages = options.suite.place
    for case, peers in options.chosen(section):
        entry = found["cases"].setdefault(case.name, {"peers": {}})
        entry["peers"]["plait in Python"] = models.expected(case.spec)
        for peer in peers:
            try:
                worker = Worker(pages, peer, threads)
                entry["peers"][peer] = worker.ask({"make": case.spec})["check"]
                worker.close()
            except (Missing, RuntimeError) as error:
                print(f"left out: {peer}: {error}", file=sys.stderr)
        losses = entry["peers"]
        entry["agree"] = apart(losses, case.tolerance)


def apart(losses: dict[str, list[float]], tolerance: float) -> str:
    """Return "agree", or which losses differ most from those in Python."""
    expected = losses["plait in Python"]
    for peer, found in losses.items():
        most = worst(abs(a / b - 1) for a, b in zip(found, expected, strict=True))
        if not most <= tolerance:
            return f"{peer} differs by {most:.1e}"
    return "agree"


def show_curves(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of losses: a row for each peer."""
    for case in section.cases:
        losses = found["cases"].get(case.name, {"peers": {}})["peers"]
        steps = [
            step for step in (1, 2, 5, 10, 20, 50, 100) if step <= case.spec["check"]
        ]
        yield f"| {case.name}, step | {' | '.join(map(str, steps))} |"
        yield f"|---{'|---:' * len(steps)}|"
        for peer, values in losses.items():
            cells = [f"{values[step - 1]:.6f}" for step in steps]
            yield f"| {peer} | {' | '.join(cells)} |"


# Inference is compiled for one row and for batches; `WHOLE` is for batches only.
COMMON: dict[str, Any] = {"batch": BATCH, "rows": [1, BATCH], "lr": 0.05}
WHOLE: dict[str, Any] = {"rows": [BATCH]}
TRAINED = {"kind": "train", **WHOLE}
INFERRED = {"kind": "infer", **WHOLE}
SMALL = {**COMMON, "net": "mlp", "depth": 1, "width": 64, "kind": "train"}
CHECK = 8  # losses that are compared; `curves` has more
SLOW = 0.3  # seconds of a sample, of which three are enough


def mlp(depth: int, width: int) -> dict[str, Any]:
    """Return the specification of a multilayer perceptron."""
    return {**COMMON, "net": "mlp", "depth": depth, "width": width}


def training(
    name: str,
    spec: dict[str, Any],
    check: int,
    quick: bool = False,
    peers: Sequence[str] = (),
) -> Case:
    """Return the case of a training step, with as many losses compared."""
    more = {"kind": "train", "check": check}
    return Case(name, {**spec, **more}, quick, peers, rounds=ROUNDS)


def inference(
    name: str, spec: dict[str, Any], quick: bool = False, peers: Sequence[str] = ()
) -> Case:
    """Return the case of an inference."""
    more = {"kind": "infer", "check": 1}
    return Case(name, {**spec, **more}, quick, peers, rounds=ROUNDS)


GRID = [(depth, width) for depth in (1, 2, 4, 8) for width in (64, 128, 256)]
CNN = {**COMMON, "net": "cnn"}
ROUNDS = 7  # of all peers
SECTIONS = [
    Section(
        "mlp-train",
        [
            training(f"{depth} x {width}", mlp(depth, width), CHECK,
                     depth * width == 64,
                     TRAINING if depth * width == 64 else USUALLY)
            for depth, width in GRID
        ],
        show_times,
        measure_pages,
        peers=USUALLY,
    ),
    Section(
        "mlp-infer",
        [
            inference(f"{depth} x {width}, batch {batch}",
                      {**mlp(depth, width), "batch": batch}, depth * width == 64,
                      INFERRING)
            for batch in (BATCH, 1)
            for depth, width in GRID
        ],
        show_times,
        measure_pages,
        peers=tuple(PEERS),
    ),
    Section(
        "cnn",
        [
            training("training", CNN, 2, True, CONVOLVED),
            inference("inference", CNN, True),
        ],
        show_times,
        measure_pages,
        peers=CONVOLVING,
    ),
    Section(
        "start",
        [
            Case("2 x 128, first training step", {**mlp(2, 128), **TRAINED}, True,
                 USUALLY, rounds=ROUNDS, small=SMALL),
            Case("2 x 128, first inference", {**mlp(2, 128), **INFERRED},
                 peers=INFERRING, rounds=ROUNDS),
        ],
        show_times,
        measure_start,
        peers=tuple(PEERS),
        threads=(1,),
    ),
    Section(
        "size",
        [
            Case("2 x 128, training and inference", {**mlp(2, 128), **TRAINED}, True,
                 TRAINING, small=SMALL),
            Case("2 x 128, also for single rows", {**mlp(2, 128), "kind": "train"},
                 peers=("plait", "plait-simd")),
            Case("CNN, training and inference", {**CNN, **TRAINED},
                 peers=CONVOLVED),
            Case("CNN, also for single rows", {**CNN, "kind": "train"},
                 peers=("plait", "plait-simd")),
            Case("2 x 128, inference", {**mlp(2, 128), **INFERRED}, peers=INFERRING),
        ],
        show_size,
        measure_size,
        peers=tuple(PEERS),
        threads=(1,),
    ),
    Section(
        "curves",
        [training("2 x 128", mlp(2, 128), 100)],
        show_curves,
        measure_curves,
        peers=("plait", "tfjs-wasm", "tfjs-cpu", "convnetjs", "jax-js"),
        threads=(1,),
    ),
]  # fmt: skip


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the sections as the command line says."""
    pages = Pages()
    try:
        suite = Suite(FOLDER, tuple(PEERS), pages.worker, pages.seconds, SLOW, pages)
        main(SECTIONS, arguments, suite)
    finally:
        pages.close()


if __name__ == "__main__":
    run()
