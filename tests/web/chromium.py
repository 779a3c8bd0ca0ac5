"""Debian's Chromium, and a server for the pages that it shows."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

FLAGS = (
    "--headless",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What WebGPU needs where there is no graphics card.
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--remote-debugging-port=0",
)
PATIENCE = 30  # seconds


def found():
    """Return the path of the program, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextlib.contextmanager
def running(profile):
    """Run Chromium with an empty profile; give the address to control it at."""
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    log = (profile / "log.txt").open("wb")
    process = subprocess.Popen(
        [found(), *FLAGS, *root, f"--user-data-dir={profile / 'user'}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        yield f"http://127.0.0.1:{_port(profile / 'user', process)}"
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _port(user, process):
    """Return the port that Chromium writes down when it listens."""
    path, end = user / "DevToolsActivePort", time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        lines = path.read_text().split("\n") if path.exists() else []
        if len(lines) > 1:
            return int(lines[0])
        time.sleep(0.05)
    raise RuntimeError(f"Chromium does not start: see {user.parent / 'log.txt'}")


ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
STRICT = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
        "connect-src 'self'; worker-src 'self'"
    )
}
# The first part of an address says with which headers it is answered.
HEADERS = {"open": {}, "isolated": ISOLATED, "strict": STRICT | ISOLATED}
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
BLANK = b"<!doctype html><meta charset=utf-8><title>a test</title>"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers /HEADERS/FOLDER/..., from the folders of the server."""

    def do_GET(self):
        kind, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        content = self.content(rest)
        self.send_response(404 if content is None else 200)
        for name, value in HEADERS.get(kind, {}).items():
            self.send_header(name, value)
        kind = TYPES.get(Path(rest).suffix, "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content or b"")

    def content(self, rest):
        if rest == "blank.html":
            return BLANK
        folder, _, name = rest.partition("/")
        root = self.server.folders.get(folder)
        path = root and (root / name).resolve()
        inside = path and path.is_relative_to(root.resolve()) and path.is_file()
        return path.read_bytes() if inside else None

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves folders.

    Attributes:
        folders: by the name that they have in addresses.
        address: what addresses begin with.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders = {}
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # a page was closed while something was on its way to it


@contextlib.contextmanager
def serving():
    """Run a server."""
    server = Server()
    serve = functools.partial(server.serve_forever, poll_interval=0.05)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
