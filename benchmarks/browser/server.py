"""The server that the pages come from, and through which they are asked.

It listens on this machine only. Each peer has a host name of its own below localhost
(RFC 6761, section 6.3), so that browsers give it a process and a cache of its own.

    /pages/FILE, /npm/FILE     the pages' scripts, and the peers'
    /data/FILE                 weights, batches and models
    /page?peer=P&tab=T&...     a peer's page
    /ask?tab=T                 the next request to a tab; 204 if there is none for long
    /answer?tab=T              where it posts the answer

Read first: `Server`.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
WAIT = 20  # seconds that a tab waits for a request before it asks again
Query = dict[str, str]


class Server:
    """Serves folders, and the pages that a function makes of a query.

    Attributes:
        work: where files for the pages are to be put.
        seen: the files that were served, by host name.
    """

    def __init__(
        self, folders: dict[str, Path], page: Callable[[Query], str], work: Path
    ) -> None:
        self.folders, self.page, self.work = {**folders, "data": work}, page, work
        self.seen: dict[str, dict[str, Path]] = {}
        self.asked: dict[str, queue.Queue[str]] = {}
        self.answers: dict[str, queue.Queue[dict[str, Any]]] = {}
        serves = type("Serves", (_Handler,), {"server_of": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), serves)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def address(self, host: str, path: str) -> str:
        """Return the address of a path at a host below localhost."""
        return f"http://{host}.localhost:{self.http.server_address[1]}{path}"

    def open(self, tab: str) -> None:
        """Make a place for what is asked of a tab."""
        self.asked[tab], self.answers[tab] = queue.Queue(), queue.Queue()

    def close(self) -> None:
        """Stop serving."""
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    protocol_version = "HTTP/1.1"  # keeps connections
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a request."""
        here, url = self.server_of, urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/page":
            # Memory is shared between threads only in such pages.
            shared = query["threads"] != "1"
            self.send(200, here.page(query).encode(), ".html", shared)
        elif url.path == "/ask":
            try:
                text = here.asked[query["tab"]].get(timeout=WAIT)
                self.send(200, text.encode(), ".json")
            except queue.Empty:
                self.send(204)
            except KeyError:
                self.send(410)
        else:
            self.file(url.path)

    def do_POST(self) -> None:
        """Take an answer."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if query["tab"] in self.server_of.answers:
            self.server_of.answers[query["tab"]].put(json.loads(body))
        self.send(200)

    def file(self, path: str) -> None:
        """Send a file of one of the folders."""
        _, folder, *rest = path.split("/")
        root = self.server_of.folders.get(folder)
        file = root.joinpath(*rest).resolve() if root else Path()
        if not root or not file.is_relative_to(root.resolve()) or not file.is_file():
            self.send(404)
            return
        host = self.headers["Host"].partition(".")[0]
        self.server_of.seen.setdefault(host, {})[path] = file
        self.send(200, file.read_bytes(), file.suffix, shared=True)

    def send(
        self, status: int, body: bytes = b"", kind: str = "", shared: bool = False
    ) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", KINDS.get(kind, "application/octet-stream"))
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if shared:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        with suppress(BrokenPipeError):  # the page was closed
            self.wfile.write(body)
