"""`plait playground`: what it builds, and what its server gives away."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from plait.cli import exhibits, playground
from plait.data import Digits

# No training worth the name: what the pages can do is tested in a browser.
LITTLE = exhibits.Effort("mnist-5k", 1, "python", 2, 16, ("simd",), ("wasm",))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Have weights kept in a folder of the test's own."""
    monkeypatch.setattr(exhibits, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def ask(tmp_path):
    """Serve a folder; return a function that asks for a path."""
    folder = tmp_path / "site"
    (folder / "models").mkdir(parents=True)
    (folder / "index.html").write_text("<p>here</p>")
    (folder / "program.wasm").write_bytes(b"\0asm")
    (folder / "script.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = playground.new_server(folder, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def ask(path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    yield ask
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_may_use_threads_and_run_only_what_is_beside_it(ask):
    status, headers, content = ask("/")
    assert (status, content) == (200, b"<p>here</p>")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    policy = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'wasm-unsafe-eval'" in policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/index.html", "text/html; charset=utf-8"),
        ("/program.wasm", "application/wasm"),
        ("/script.js", "text/javascript; charset=utf-8"),
    ],
)
def test_files_have_the_type_that_browsers_ask_for(ask, path, kind):
    assert ask(path)[1]["Content-Type"] == kind


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/models/../../secret.txt",
        "//secret.txt",
        "/link.txt",
        "/models",
        "/models/",
        "/missing.js",
    ],
)
def test_nothing_outside_and_no_list_of_a_folder_is_given(ask, path):
    status, _, content = ask(path)
    if status == 301:  # a folder is asked for with a slash at its end
        status, _, content = ask(path + "/")
    assert status == 404
    assert b"secret.txt" not in content
    assert content.count(b"secret") == 0


def test_it_changes_nothing(ask):
    assert ask("/index.html", "POST")[0] == 501
    assert ask("/index.html", "PUT")[0] == 501


def test_other_machines_do_not_reach_it(tmp_path):
    with playground.new_server(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(tmp_path, plait_here, monkeypatch):
    monkeypatch.setattr(playground, "build", lambda *_, **__: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = plait_here("playground", "--port", port, "--no-open")
    assert done.status == 1
    assert f"port {port} cannot be had" in done.err
    assert "`plait playground --port 0` takes one that is free" in done.err


def test_only_building_tells_where_it_is(tmp_path, plait_here, monkeypatch):
    asked = []
    monkeypatch.setattr(playground, "build", lambda folder, tell: asked.append(folder))
    done = plait_here("playground", "--build-only", tmp_path / "pages")
    assert done.status == 0
    assert asked == [tmp_path / "pages"]
    assert f"the playground is in {tmp_path / 'pages'}" in done.out


def test_what_is_built_is_kept_until_something_changes(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(exhibits, "PLANES", ((3,), (2, 2)))
    folder, told = tmp_path / "site", []
    exhibits.build(folder, LITTLE, tell=told.append, only=["digits", "planes"])
    assert [text.split()[0] for text in told] == ["1/2", "2/2"]
    facts = json.loads((folder / "site.json").read_text())
    names = [plane["name"] for plane in facts["planes"]]
    assert names == ["plane-3", "plane-2-2"]
    for name in names:
        assert (folder / "models" / name / "manifest.json").exists()
        assert not list((folder / "models" / name).glob("*.js"))
    told.clear()
    exhibits.build(folder, LITTLE, tell=told.append, only=["digits", "planes"])
    assert told == []
    next((folder / "models" / "plane-3").glob("*.wasm")).unlink()
    exhibits.build(folder, LITTLE, tell=told.append, only=["digits", "planes"])
    assert told == ["1/1  tiny networks for points in the plane"]
    told.clear()
    other = LITTLE._replace(features=("relaxed",))
    exhibits.build(folder, other, tell=told.append, only=["digits"])
    assert told == ["1/1  pictures of digits"]


def test_a_folder_with_something_else_is_left_alone(tmp_path, plait_here):
    page = tmp_path / "index.html"
    page.write_text("mine")
    done = plait_here("playground", "--build-only", tmp_path)
    assert (done.status, page.read_text()) == (1, "mine")
    assert f"{tmp_path} holds something else; name a new folder" in done.err


def test_weights_are_trained_once(tmp_path, cache, monkeypatch):
    """Programs are made anew when plait changes; what was learned is not."""
    few = np.zeros((64, 28, 28), np.uint8), np.zeros(64, np.int64)
    made, told = [], []
    monkeypatch.setattr(exhibits, "digits", lambda _: Digits(*few, *few, "few"))
    monkeypatch.setattr(
        exhibits, "_export", lambda model, *_, **__: made.append(model.state_dict())
    )

    def build(folder):
        told.clear()
        exhibits.build(tmp_path / folder, LITTLE, tell=told.append, only=["reader"])

    build("one")
    assert "learns to read 64 digits" in told[1]
    assert told[2:] == ["     100 %"]
    build("two")
    assert told == ["1/1  a network that reads digits"]
    (kept,) = (cache / "playground" / "weights").iterdir()
    kept.write_bytes(b"damaged")
    build("three")
    assert "learns to read" in told[1]
    for other in made[1:]:
        assert all((other[name] == x).all() for name, x in made[0].items())


def test_ctrl_c_ends_it_in_peace(tmp_path):
    program = (
        "import signal, sys; from pathlib import Path;"
        "from plait.cli import main, playground;"
        # Where a shell had tests ignore this signal, so does what they start.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "playground.build = lambda folder, tell: folder.mkdir(parents=True);"
        "playground.cache_folder = lambda: Path(sys.argv[1]);"
        "sys.exit(main.main(['playground', '--port', '0', '--no-open']))"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stdout.readline()
        assert line.startswith("The playground is at http://localhost:")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.strip() == "ended"


def test_pages_load_nothing_from_elsewhere():
    """Nor have they scripts or styles inside, which the policy would not run."""
    for path in sorted(Path(exhibits.PAGES).iterdir()):
        text = path.read_text(encoding="utf-8")
        addresses = text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in addresses.replace("// ", "").replace("//\n", ""), path.name
        if path.suffix == ".html":
            assert "<style" not in text
            assert " style=" not in text
            assert " on" not in text.split("<body>")[0]
            assert all("src=" in tag for tag in text.split("<script")[1:])
