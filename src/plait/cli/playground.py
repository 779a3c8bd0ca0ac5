"""`plait playground`: pages on which networks are trained and asked, served here.

Read first: `run`, `Handler`.
"""

from __future__ import annotations

import http.server
import os
import webbrowser
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from ..data import cache_folder
from .console import Failure, natural, new_parser
from .exhibits import build

_DESCRIPTION = """\
Open a playground in the browser: draw a digit and see what a network makes of
it, train networks and watch them learn, split a plane, let one write.

What is missing is built first, into the folder for caches; that takes a
minute or two once. Everything is computed in the page. Ctrl-C ends it.
"""
# Pages with these may share memory between threads, and run nothing but the programs
# that lie beside them.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = _options(arguments)
    if options.build_only is not None:
        folder = Path(options.build_only)
        build(folder, tell=_tell)
        print(f"the playground is in {folder}; `plait playground` would serve it")
        return 0
    folder = cache_folder() / "playground" / "site"
    build(folder, tell=_tell)
    with new_server(folder, options.port) as server:
        address = f"http://localhost:{server.server_port}/"
        try:
            print(f"The playground is at {address}\nCtrl-C ends it.", flush=True)
            if not options.no_open:
                webbrowser.open(address)
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nended")
    return 0


class Handler(http.server.SimpleHTTPRequestHandler):
    """Gives files of one folder, and nothing else."""

    protocol_version = "HTTP/1.1"  # one connection for many files
    server_version = "plait"
    sys_version = ""
    extensions_map = {  # noqa: RUF012  (what the base class is told)
        "": "application/octet-stream",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add what every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_head(self) -> Any:
        """Answer with a file, if it really lies in the folder."""
        path = Path(self.translate_path(self.path)).resolve()
        if not path.is_relative_to(Path(self.directory).resolve()):
            self.send_error(HTTPStatus.NOT_FOUND, "there is no such file")
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> Any:
        """Give no list of what a folder holds."""
        self.send_error(HTTPStatus.NOT_FOUND, "there is no such file")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the browser says what it misses."""

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        """Send a file; a browser that has left is no error."""
        try:
            super().copyfile(source, outputfile)
        except ConnectionError:
            self.close_connection = True


def new_server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of a folder that only this machine reaches.

    Args:
        folder: what is served.
        port: 0 for any that is free.

    Raises:
        Failure: the port is taken.
    """
    handler = partial(Handler, directory=os.fspath(folder))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise Failure(
            f"port {port} cannot be had: {error.strerror}; "
            "`plait playground --port 0` takes one that is free"
        ) from None


def _options(arguments: Sequence[str]) -> Any:
    parser = new_parser("plait playground", _DESCRIPTION)
    add = parser.add_argument
    add("--port", type=natural, default=8000, metavar="N",
        help="where it is served; 0 for any that is free")  # fmt: skip
    add("--build-only", metavar="FOLDER",
        help="make the pages in this folder, and serve nothing")  # fmt: skip
    add("--no-open", action="store_true", help="open no browser")
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, flush=True)
