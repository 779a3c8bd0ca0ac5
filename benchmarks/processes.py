"""The peers' processes: started, stopped while others are timed, and asked.

Each peer runs in a process of its own, so that pools of threads, allocators and
settings of one do not disturb another. A process that is not being timed is stopped
(SIGSTOP): the threads of some pools spin for a while after work, which would take the
others' cores.

Read first: `Worker`, `fresh`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
# Peer: its module, and what its environment says besides.
PEERS: dict[str, tuple[str, dict[str, str]]] = {
    "plait": ("with_plait", {}),
    "torch": ("with_torch", {}),
    "torch.compile": ("with_torch", {"BENCHMARK_TORCH": "compile"}),
    "jax": ("with_jax", {"JAX_PLATFORMS": "cpu"}),
    "numpy": ("with_numpy", {}),
    "tensorflow": ("with_tensorflow", {}),
    "keras": ("with_keras", {"KERAS_BACKEND": "tensorflow"}),
    "onnxruntime": ("with_onnxruntime", {}),
}
USUAL = ("plait", "torch", "torch.compile", "jax", "numpy")  # what most sections have
PATIENCE = 900  # seconds for one answer; torch.compile of a deep net takes minutes

_ONCE = """\
import time
began = time.perf_counter()
import {module} as peer
imported = time.perf_counter()
import protocol, sys
protocol.once(peer.MAKERS, sys.argv[1], began, imported)
"""


class Missing(Exception):
    """A peer is not installed here."""


def environment(peer: str, threads: int) -> dict[str, str]:
    """Return the environment of a peer's process."""
    paths = [str(FOLDER / "peers"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    count = str(threads)
    # Compiled modules are kept, as an installed package has them.
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **given,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "PLAIT_NUM_THREADS": count,
        # Otherwise it keeps processes of its own, which nobody stops.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        **PEERS[peer][1],
    }


def cores(threads: int) -> list[int]:
    """Return the cores that a process with so many threads runs on.

    XLA takes as many threads as it sees cores. The last ones are taken because the
    first usually serves the devices.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]


def _pinned(threads: int) -> Callable[[], None] | None:
    chosen = cores(threads)
    return (lambda: os.sched_setaffinity(0, chosen)) if chosen else None


class Worker:
    """A peer's process that makes and runs work when asked; see `peers/protocol.py`.

    It is stopped except while it answers.
    """

    def __init__(self, peer: str, threads: int, python: str = sys.executable) -> None:
        self.peer = peer
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, str(FOLDER / "peers" / f"{PEERS[peer][0]}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment(peer, threads),
            preexec_fn=_pinned(threads),
            start_new_session=True,  # signals reach its children too
        )
        self.rest = b""
        try:
            self.facts = self.ask({})["facts"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            Missing: the peer's library is not installed.
            RuntimeError: the process failed, or did not answer in time.
        """
        assert self.process.stdin is not None
        self.signal(signal.SIGCONT)
        with suppress(BrokenPipeError):  # what it wrote before is read below
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.line())
        self.signal(signal.SIGSTOP)
        return answer

    def line(self) -> bytes:
        """Return the next line that the process writes."""
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        while b"\n" not in self.rest:
            ready, _, _ = select.select([pipe], [], [], PATIENCE)
            piece = os.read(pipe, 1 << 16) if ready else b""
            if not piece:
                self.fail("did not answer" if not ready else "ended")
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def fail(self, what: str) -> None:
        """Raise, with what the process said."""
        self.end()
        self.errors.seek(0)
        said = self.errors.read()
        self.close()
        raise failure(self.peer, what, said)

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        # If it has ended, who reads from it will know.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self) -> None:
        """End the process, if it has not ended."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def close(self) -> None:
        """End the process, and close what is open to it."""
        self.end()
        self.errors.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a request that was never read
                    pipe.close()


def failure(peer: str, what: str, said: str) -> Exception:
    """Return the error for a process that said `said` last."""
    last = said.strip().splitlines()[-1:] or ["nothing"]
    if last[0].startswith("ModuleNotFoundError"):
        return Missing(f"{peer}: {last[0]}")
    return RuntimeError(f"the process of {peer} {what}; it said:\n{said[-4000:]}")


def fresh(
    peer: str,
    threads: int,
    spec: dict[str, Any],
    extra: dict[str, str] | None = None,
    python: str = sys.executable,
) -> dict[str, Any]:
    """Return what `protocol.once` says of the first runs in a new process."""
    code = _ONCE.format(module=PEERS[peer][0])
    return call(peer, threads, ["-c", code, json.dumps(spec)], extra, python)


def call(
    peer: str,
    threads: int,
    arguments: list[str],
    extra: dict[str, str] | None = None,
    python: str = sys.executable,
) -> dict[str, Any]:
    """Return what a peer's new process prints, which Python runs with `arguments`."""
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        env={**environment(peer, threads), **(extra or {})},
        preexec_fn=_pinned(threads),
        timeout=PATIENCE,
    )
    if done.returncode:
        raise failure(peer, f"ended with status {done.returncode}", done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
