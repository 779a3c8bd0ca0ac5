"""The files of an export.

    manifest.json          what there is, and where it lies in memory
    weights.safetensors    the state
    program*.wasm          programs, for browsers that can more or less
    plait.js, ...          the script that loads them
    index.html, page.js    a page that shows what the model does

Each file appears whole or not at all, the manifest last.

Read first: `write_export`.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import plait
from plait import nn, web

from ..errors import ArgumentError, FileFormatError
from ..train.step import TrainStep
from . import build, page
from .graphs import Entry, Function, Port, functions_of
from .layout import Layout, laid_out
from .weights import FILE, MANIFEST, read_manifest, stored

_TARGETS = ("wasm", "webgpu", "c")
# In the place of the script for WebGPU: nobody loads it but to be told.
_WITHOUT_WEBGPU = b"""\
import { fail } from "./plait.js";
export const load = async () =>
  fail("this export has no program for WebGPU", "none", 'targets=["webgpu"]');
"""


class Options(NamedTuple):
    """How an export is written; see `export`."""

    quantize: str | None = None
    single_file: bool = False
    page: bool = True
    labels: Sequence[str] | None = None
    notes: Mapping[str, Any] | None = None
    name: str | None = None
    quiet: bool = False


def write_export(
    source: Any,
    path: str | os.PathLike[str],
    inputs: Any,
    target: Any,
    rows: Sequence[int] | int | None,
    targets: Sequence[str] | str,
    features: Sequence[str],
    evaluate: bool,
    options: Options,
) -> None:
    """Write an export; see `export`."""
    path = Path(path)
    if options.single_file:
        # Threads need headers of a server.
        features = [one for one in features if one != "threads"]
    targets = [targets] if isinstance(targets, str) else list(targets)
    _check_targets(targets, options)
    if options.single_file:
        _check_file(path)
    else:
        _check_folder(path)
    say = _silent if options.quiet else _printed
    say(f"recording {_name_of(source, options)}")
    functions, state = functions_of(source, inputs, target, _counts(rows), evaluate)
    writer = _Writer(path, functions, state, options, _name_of(source, options), say)
    if any(not one.startswith("c") for one in targets):
        writer.web(features, "webgpu" in targets)
    for one in targets:
        if one.startswith("c"):
            writer.object_file(one.partition(":")[2])
    writer.finish()


def _check_targets(targets: Sequence[str], options: Options) -> None:
    if not targets:
        raise ArgumentError("[export] there are no targets", got="none")
    for one in targets:
        if one.partition(":")[0] not in _TARGETS or (":" in one and one[0] != "c"):
            raise ArgumentError(
                "[export] there is no such target",
                got=repr(one),
                expected="'wasm', 'webgpu', 'c', or 'c:' and a kind of processor",
            )
    for_c = [one for one in targets if one.startswith("c")]
    if len(for_c) > 1:
        raise ArgumentError(
            "[export] a folder has one object file",
            got=", ".join(for_c),
            fix="export to a folder for each kind of processor",
        )
    if options.single_file and for_c:
        raise ArgumentError("[export] what is for C is more than a single file")


def _counts(rows: Sequence[int] | int | None) -> list[int]:
    counts = [] if rows is None else [rows] if isinstance(rows, int) else list(rows)
    if not all(n >= 1 for n in counts):
        raise ArgumentError(
            "[export] numbers of rows are positive integers", got=repr(rows)
        )
    return sorted(set(counts))


def _check_file(path: Path) -> None:
    if path.suffix not in (".html", ".htm") or path.is_dir():
        raise ArgumentError(
            "[export] a single file is a page",
            got=str(path),
            fix="call it something.html",
        )


def _check_folder(path: Path) -> None:
    """Refuse a folder that is not there to be written to."""
    if path.exists() and not path.is_dir():
        raise ArgumentError("[export] this is no folder", got=str(path))
    if path.is_dir() and any(path.iterdir()):
        try:
            read_manifest(path)
        except (FileNotFoundError, FileFormatError):
            raise ArgumentError(
                "[export] the folder holds something else, which might be lost",
                got=str(path),
                fix="name a new folder, or one with an older export",
            ) from None


def _name_of(source: Any, options: Options) -> str:
    if options.name is not None:
        return options.name
    if isinstance(source, TrainStep):
        source = source.model
    if isinstance(source, nn.Module):
        return type(source).__name__.lower()
    return str(getattr(source, "__name__", "function")).strip("<>")


class _Writer:
    """Writes the files of one export, and counts them."""

    def __init__(
        self,
        path: Path,
        functions: Sequence[Function],
        state: Mapping[str, Entry],
        options: Options,
        name: str,
        say: Callable[[str], None],
    ) -> None:
        self.path = path
        self.functions, self.state = functions, state
        self.layout = laid_out(functions, state)
        self.options, self.name, self.say = options, name, say
        self.files: dict[str, bytes] = {}
        self._modules: list[dict[str, Any]] = []
        self._alarms: Mapping[str, Sequence[str]] = {}
        self._ways: Mapping[str, Mapping[str, Any]] = {}

    def web(self, features: Sequence[str], webgpu: bool) -> None:
        """Make what pages need, but for the manifest."""
        for one in build.build_wasm(self.functions, self.layout, features, self.say):
            self.files[one.file] = one.built.code
            self._modules.append(_module(one))
            self._alarms = one.built.alarms
        if webgpu:
            self.say("compiling program.webgpu.json")
            content = build.build_webgpu(self.functions, self.layout)
            self.files["program.webgpu.json"] = content
            module = {"file": "program.webgpu.json", "features": ["webgpu"]}
            self._modules.append({**module, "sha256": _digest(content)})
        arrays, self._ways = stored(self.state, self.options.quantize)
        self.files[FILE] = _safetensors(arrays)
        for name, content in web.scripts().items():
            if webgpu or not name.startswith("webgpu"):
                self.files[name] = content
        if not webgpu:
            self.files["webgpu.js"] = _WITHOUT_WEBGPU
        if self.options.page or self.options.single_file:
            self.files.update(page.files(self.name))

    def object_file(self, machine: str) -> None:
        """Make what C programs need, but for the manifest."""
        self.say("compiling for C")
        name = re.sub(r"\W", "_", self.name, flags=re.ASCII)
        built, header = build.build_object(
            name, self.functions, self.state, self.layout, machine
        )
        self.files[f"{name}.o"] = built.code
        self.files[f"{name}.h"] = header.encode()
        module = {"file": f"{name}.o", "features": ["c"]}
        self._modules.append({**module, "sha256": _digest(built.code)})
        self._alarms = {
            one.symbol: built.alarms[build.c_symbol(name, one)]
            for one in self.functions
        }

    def _manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = {
            "format": "plait",
            "version": 1,
            "name": self.name,
            "made_by": f"plait {plait.__version__}",
            "state": _listed_state(self.state, self.layout, self._ways),
            "functions": _listed_functions(self.functions, self.layout, self._alarms),
            "modules": self._modules,
        }
        if FILE in self.files:
            manifest["weights"] = {"file": FILE, "sha256": _digest(self.files[FILE])}
        if self.options.labels is not None:
            manifest["labels"] = [str(label) for label in self.options.labels]
        if self.options.notes:
            manifest["notes"] = dict(self.options.notes)
        return manifest

    def finish(self) -> None:
        """Write the files, and say how large they are."""
        self.files[MANIFEST] = _json(self._manifest())
        if self.options.single_file:
            content = page.single_file(self.files)
            _write(self.path, content)
            self.say(_table(str(self.path), {self.path.name: content}, ()))
            return
        stale = _stale(self.path, self.files)
        self.path.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            _write(self.path / name, content)
        for name in stale:
            with contextlib.suppress(FileNotFoundError):
                (self.path / name).unlink()
        self.say(_table(f"{self.path}/", self.files, self._first()))

    def _first(self) -> Sequence[str]:
        """Return the files that a page loads at first, without weights."""
        programs = [name for name in self.files if name.endswith(".wasm")]
        if not programs:
            return ()
        return ("plait.js", MANIFEST, max(programs, key=lambda x: len(self.files[x])))


# What is in the files


def _module(one: build.Module) -> dict[str, Any]:
    built = one.built
    entry: dict[str, Any] = {
        "file": one.file,
        "features": list(one.features),
        "memory": built.memory,
        "sha256": _digest(built.code),
    }
    if built.lasting:
        entry["lasting"] = list(built.lasting)
    if "threads" in one.features:
        entry["scratch"] = built.scratch
    return entry


def _listed_state(
    state: Mapping[str, Entry], layout: Layout, ways: Mapping[str, Any]
) -> list[dict[str, Any]]:
    listed = []
    for name, (tensor, role) in state.items():
        one: dict[str, Any] = {
            "name": name,
            "shape": list(tensor.shape),
            "dtype": tensor.dtype.name,
            "at": layout.state[name],
            "role": role,
        }
        if name in ways:
            one["stored"] = ways[name]
        listed.append(one)
    return listed


def _listed_functions(
    functions: Sequence[Function], layout: Layout, alarms: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    listed = []
    for one, places in zip(functions, layout.functions, strict=True):
        entry: dict[str, Any] = {
            "name": one.name,
            "symbol": one.symbol,
            "inputs": _listed_ports(one.inputs, places.inputs),
            "outputs": _listed_ports(one.outputs, places.outputs),
            "alarms": [build.short(line) for line in alarms[one.symbol]],
        }
        if one.rows:
            entry["rows"] = True
        listed.append(entry)
    return listed


def _listed_ports(ports: Iterable[Port], places: Iterable[int]) -> list[dict[str, Any]]:
    listed = []
    for port, at in zip(ports, places, strict=True):
        if port.kind == "state":
            continue
        one: dict[str, Any] = {
            "name": port.name,
            "shape": list(port.type.shape),
            "dtype": port.type.dtype.name,
            "at": at,
        }
        if port.kind == "hyperparameter":
            one.update(role="hyperparameter", default=port.default)
        listed.append(one)
    return listed


def _safetensors(arrays: Mapping[str, Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        nn.save_weights(arrays, path)
        return path.read_bytes()


def _json(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as text: a line for each tensor, function and module."""
    parts = []
    for key, value in manifest.items():
        if key in ("state", "functions", "modules"):
            lines = ",\n  ".join(_compact(one) for one in value)
            parts.append(f'"{key}": [\n  {lines}\n]' if value else f'"{key}": []')
        else:
            parts.append(f'"{key}": {_compact(value)}')
    return ("{" + ",\n".join(parts) + "}\n").encode()


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Writing


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _stale(folder: Path, new: Mapping[str, bytes]) -> list[str]:
    """Return the programs of an older export that the new one has not."""
    try:
        names = [str(one["file"]) for one in read_manifest(folder)["modules"]]
    except (FileNotFoundError, FileFormatError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name and name not in new]


# Words


def _silent(_: str) -> None:
    """Say nothing."""


def _printed(text: str) -> None:
    print(text, flush=True)


def _table(where: str, files: Mapping[str, bytes], first: Sequence[str]) -> str:
    """Return the sizes of files as a table."""
    packed = {name: len(gzip.compress(x, 9, mtime=0)) for name, x in files.items()}
    width = max(map(len, files), default=0)
    lines = [f"wrote {where}", f"  {'':{width}}  {'bytes':>12}  {'gzip':>12}"]
    for name, content in files.items():
        lines.append(f"  {name:{width}}  {len(content):12,}  {packed[name]:12,}")
    if first:
        total = sum(packed[name] for name in first)
        lines.append(f"a page loads {total:,} bytes (gzip) at first, and the weights")
    return "\n".join(lines)
