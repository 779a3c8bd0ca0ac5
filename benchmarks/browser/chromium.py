"""One Chromium with a new profile, and the tabs in which peers run.

It is driven through the addresses of its DevTools (`/json/new` and others), which need
no library; what is asked of a page goes through our own server.

Read first: `Chromium`, `Tab`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import quote

from processes import Missing
from server import Server

FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    # Tabs that are not shown work as fast as others.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    # WebGPU in software, where there is no device.
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-unsafe-swiftshader",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
START = 60  # seconds until it must have started
PATIENCE = 180  # seconds for one answer
PRIORITY = -20  # of threads, if we may raise it
_numbers = count()


class Chromium:
    """A running browser. Ends, and removes its profile, when closed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.used: dict[int, float] = {}
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise Missing(f"no browser: none of {', '.join(NAMES)} is installed")
        self.profile = Path(tempfile.mkdtemp(prefix="benchmark-profile-"))
        flags = [*FLAGS, f"--user-data-dir={self.profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # it does not start otherwise
        self.process = subprocess.Popen(
            [program, *flags, "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.address = f"http://127.0.0.1:{self._port()}"
            self.version = str(self.ask("/json/version")["Browser"])
        except BaseException:
            self.close()
            raise

    def _port(self) -> int:
        """Return the port of the DevTools, which it writes into the profile."""
        file, end = self.profile / "DevToolsActivePort", time.monotonic() + START
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError, IndexError, ValueError):
                port = int(file.read_text(encoding="utf-8").splitlines()[0])
                urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version").close()
                return port
            time.sleep(0.02)
        raise RuntimeError(f"the browser did not start: {self.process.args}")

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return what the DevTools say."""
        request = urllib.request.Request(f"{self.address}{path}", method=method)
        with urllib.request.urlopen(request, timeout=START) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] in b"[{" else text

    def tab(self, host: str, query: str) -> Tab:
        """Open a page of our server at a host of its own."""
        name = f"tab{next(_numbers)}"
        self.server.open(name)
        self.prefer()  # what starts its process
        address = self.server.address(host, f"/page?{query}&tab={name}")
        found = self.ask(f"/json/new?{quote(address)}", "PUT")
        return Tab(self, name, found["id"])

    def processes(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each of its processes, and what /proc says of it."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                said = (folder / "stat").read_text(encoding="utf-8")
                fields = said.rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:  # our session
                    yield int(folder.name), fields

    def prefer(self) -> None:
        """Raise the priority of all its threads, if that is allowed.

        The browser sets its renderers' own, so they cannot inherit it. Where Linux
        groups processes by sessions, that is only among themselves: the group has one
        too.
        """
        with suppress(OSError):
            group = Path(f"/proc/{self.process.pid}/autogroup")
            group.write_text(f"{PRIORITY}", encoding="ascii")
        for process, _ in self.processes():
            for task in Path(f"/proc/{process}/task").glob("*"):
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(task.name), PRIORITY)

    def seconds(self) -> float:
        """Return how long its processes have used the processor.

        Of those that have ended it knows what they had used when it was last asked.
        """
        rate = os.sysconf("SC_CLK_TCK")
        for process, fields in self.processes():
            self.used[process] = (int(fields[11]) + int(fields[12])) / rate
        return sum(self.used.values())

    def close(self) -> None:
        """End it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
                break
        # What is left of it still writes there for a moment.
        for _ in range(50):
            shutil.rmtree(self.profile, ignore_errors=True)
            if not self.profile.exists():
                break
            time.sleep(0.05)


class Tab:
    """A peer's page, which answers as a peer's process does."""

    def __init__(self, browser: Chromium, name: str, identity: str) -> None:
        self.browser, self.name, self.identity = browser, name, identity

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            RuntimeError: the page failed, or did not answer in time.
        """
        self.browser.server.asked[self.name].put(json.dumps(request))
        if "run" in request:
            self.browser.prefer()  # threads that came since
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return what the page posts next."""
        try:
            said = self.browser.server.answers[self.name].get(timeout=PATIENCE)
        except Empty:
            said = {"error": "no answer"}
        if "error" in said:
            self.close()
            raise RuntimeError(f"the page says: {said['error']}")
        return said

    def close(self) -> None:
        """Close the page."""
        self.browser.seconds()
        self.browser.server.asked.pop(self.name, None)
        with suppress(OSError):
            self.browser.ask(f"/json/close/{self.identity}")
