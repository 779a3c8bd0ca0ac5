"""`plait doctor`: what plait finds on this machine, and whether it works.

Read first: `run`, `check_training`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import plait
from plait import nn, optim

from ..data import cache_folder
from .console import new_parser

_DESCRIPTION = """\
Check that plait works on this machine, and print what a report of a problem
should have: versions, processor, libraries, folders. The status is 1 if
something is broken.
"""
REQUIRED = ("numpy", "ml_dtypes", "llvmlite", "safetensors")
# Library: the module it is imported as, the extra that brings it, what it is for.
EXTRAS = {
    "tqdm": ("tqdm", "cli", "bars while training"),
    "pillow": ("PIL", "image", "reading images in `plait predict`"),
}


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    new_parser("plait doctor", _DESCRIPTION).parse_args(arguments)
    for title, facts in (
        ("versions", versions()),
        ("machine", machine()),
        ("optional libraries", extras()),
        ("folders", folders()),
    ):
        print(title)
        for name, fact in facts:
            print(f"  {name:<13}{fact}")
    print("checks")
    healthy = True
    for name, check in CHECKS.items():
        try:
            fact = check()
        except Exception as error:  # whatever it is, it is what the doctor looks for
            healthy = False
            fact = f"FAILED: {type(error).__name__}: {error}"
        print(f"  {name:<13}{fact}", flush=True)
    print("plait works here" if healthy else "plait is broken here; see FAILED above")
    return 0 if healthy else 1


def versions() -> Iterator[tuple[str, str]]:
    """Yield each library that is needed, and its version."""
    yield "python", f"{platform.python_version()} ({sys.executable})"
    installed = "" if _version("plait") else ", not installed: run from its source"
    yield "plait", f"{plait.__version__} ({Path(plait.__file__).parent}){installed}"
    for name in REQUIRED:
        yield name, _version(name) or "not installed as a package"


def machine() -> Iterator[tuple[str, str]]:
    """Yield what the processor is, and what NumPy makes of it."""
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "processor", _processor()
    yield "cores", f"{_usable_cores()} usable of {os.cpu_count()}"
    config = _numpy_config()
    found = config.get("SIMD Extensions", {})
    features = [*found.get("baseline", []), *found.get("found", [])]
    yield "features", _wrapped(" ".join(features) or "unknown")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    yield "BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if name in os.environ:
            yield "threads", f"{name}={os.environ[name]}"


def extras() -> Iterator[tuple[str, str]]:
    """Yield each optional library: its version, or how to get it."""
    for name, (module, extra, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield name, f"{_version(name) or 'installed'}, for {purpose}"
        else:
            yield name, f'missing, for {purpose}: pip install "plait[{extra}]"'


def folders() -> Iterator[tuple[str, str]]:
    """Yield where plait keeps things."""
    folder = cache_folder()
    if not folder.exists():
        yield "cache", f"{folder} (not made yet)"
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    writable = "" if os.access(folder, os.W_OK) else ", cannot be written to"
    yield "cache", f"{folder} ({size / 1e6:.1f} MB{writable})"


def check_arithmetic() -> str:
    """Compare a few ops with NumPy."""
    a = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    x = plait.asarray(a)
    got = plait.exp(x) @ x.T + plait.sum(x, axis=1)
    _demand(np.allclose(got.numpy(), np.exp(a) @ a.T + a.sum(1), rtol=1e-5), "values")
    return "values agree with NumPy"


def check_derivative() -> str:
    """Compare a derivative with finite differences."""

    def function(x: Any) -> Any:
        return plait.sum(plait.tanh(x) * x)

    x, step = np.array([0.3, -1.2]), 1e-6
    gradient = plait.grad(function)(plait.asarray(x)).numpy()
    for i in range(2):
        ahead, behind = x.copy(), x.copy()
        ahead[i] += step
        behind[i] -= step
        values = [function(plait.asarray(point)).item() for point in (ahead, behind)]
        slope = (values[0] - values[1]) / (2 * step)
        _demand(abs(slope - gradient[i]) < 1e-7, f"{gradient[i]}, should be {slope}")
    return "derivatives agree with finite differences"


def check_training() -> str:
    """Teach a small network what no linear model can learn."""
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    loss_function = nn.CrossEntropyLoss()
    inputs = plait.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    either = plait.tensor([0, 1, 1, 0])
    loss = None
    for _ in range(100):
        loss = loss_function(model(inputs), either)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss is not None
    _demand(loss.item() < 0.05, f"the loss is {loss.item():.3f} after 100 steps")
    return f"a network learns: loss {loss.item():.4f} after 100 steps"


CHECKS: dict[str, Callable[[], str]] = {
    "arithmetic": check_arithmetic,
    "derivatives": check_derivative,
    "training": check_training,
}


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ArithmeticError(f"wrong: {what}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return " ".join(names[0].split()) if names else platform.processor() or "unknown"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _numpy_config() -> dict[str, Any]:
    try:
        return dict(np.show_config(mode="dicts") or {})
    except Exception:  # an odd build of NumPy is no reason to stop
        return {}


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 66).replace("\n", "\n" + " " * 15)
