"""`fetch` against package clients that are small scripts."""

import hashlib
import importlib.util
import io
import stat
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from plait.data import packages
from plait.data.packages import cache_folder, fetch
from plait.errors import ArgumentError, DataError

CONTENT = {"package/data/one": b"one\n" * 100, "package/two": b"two"}


def digest(content):
    return hashlib.sha256(content).hexdigest()


WANTED = {name: digest(content) for name, content in CONTENT.items()}


def tar(contents):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def wheel(contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def deb(contents):
    parts = {"debian-binary": b"2.0\n1", "data.tar.gz": tar(contents)}
    packed = b"!<arch>\n"
    for name, content in parts.items():
        header = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        packed += header.encode() + content + b"\n" * (len(content) % 2)
    return packed


def script(path, body):
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def client(path, archive_name, archive, log):
    """Make a package client that leaves `archive` in its folder and logs its words."""
    stored = path.with_suffix(".archive")
    stored.write_bytes(archive)
    script(
        path,
        f"open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"open({archive_name!r}, 'wb').write(open({str(stored)!r}, 'rb').read())",
    )


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def npm(programs, log):
    """Install an npm that gives this archive."""

    def install(archive, name="some-data-1.0.0.tgz"):
        client(programs / "npm", name, archive, log)

    return install


@pytest.fixture
def own_pip(tmp_path, monkeypatch, log):
    """Put another `pip` before the interpreter's own."""

    def install(archive, name):
        module = tmp_path / "modules" / "pip"
        module.mkdir(parents=True)
        (module / "__init__.py").touch()
        client(module / "__main__.py", name, archive, log)
        monkeypatch.setenv("PYTHONPATH", str(module.parent))

    return install


def fetch_npm(members=WANTED, **options):
    return fetch("npm", "some-data", "1.0.0", members, **options)


# --- what is asked for comes, once


def test_several_files_need_one_download(npm, log):
    npm(tar(CONTENT))
    assert fetch_npm() == CONTENT
    (line,) = log.read_text().splitlines()
    assert line.startswith("pack some-data@1.0.0 --ignore-scripts")


def test_the_second_time_needs_no_client(npm, programs):
    npm(tar(CONTENT))
    fetch_npm()
    (programs / "npm").unlink()
    assert fetch_npm() == CONTENT


def test_only_what_is_missing_is_taken_from_the_archive(npm, log):
    npm(tar(CONTENT))
    fetch_npm({"package/two": WANTED["package/two"]})
    npm(tar({"package/data/one": CONTENT["package/data/one"]}))
    assert fetch_npm() == CONTENT
    assert len(log.read_text().splitlines()) == 2


def test_a_changed_file_in_the_cache_is_fetched_again(npm, cache):
    npm(tar(CONTENT))
    fetch_npm()
    stored = cache / "packages" / WANTED["package/two"]
    stored.write_bytes(b"changed")
    assert fetch_npm() == CONTENT
    assert stored.read_bytes() == b"two"


def test_concurrent_fetches_leave_whole_files_only(npm, cache):
    npm(tar(CONTENT))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fetch_npm(), range(8)))
    assert results == [CONTENT] * 8
    names = {path.name for path in (cache / "packages").iterdir()}
    assert names == set(WANTED.values())


@pytest.mark.parametrize(
    ("registry", "kind", "archive_name", "pack"),
    [
        ("pypi", "--only-binary", "some_data-1.0.0-py3-none-any.whl", wheel),
        ("pypi-sdist", "--no-binary", "some_data-1.0.0.tar.gz", tar),
        ("pypi-sdist", "--no-binary", "some_data-1.0.0.zip", wheel),
    ],
)
def test_pip_gives_wheels_and_sources(own_pip, log, registry, kind, archive_name, pack):
    own_pip(pack(CONTENT), archive_name)
    assert fetch(registry, "some-data", "1.0.0", WANTED) == CONTENT
    words = log.read_text().split()
    assert words[:4] == ["download", "--no-deps", kind, ":all:"]
    assert words[-1] == "some-data==1.0.0"


def test_debian_packages_are_downloaded_and_not_installed(programs, log):
    client(programs / "apt-get", "some-data_1.0.0-1_all.deb", deb(CONTENT), log)
    assert fetch("debian", "some-data", "1.0.0-1", WANTED) == CONTENT
    assert log.read_text() == "download --quiet --quiet some-data=1.0.0-1\n"


def test_systems_without_debians_client_are_told(programs):
    error = error_of(lambda: fetch("debian", "some-data", "1.0.0-1", WANTED))
    assert error.message == (
        "[fetch] `apt-get` is needed to get some-data 1.0.0-1 and is not installed. "
        "Fix: only Debian and systems made from it have this package."
    )


@pytest.mark.parametrize(
    "archive", [b"", b"no archive", b"!<arch>\n", b"!<arch>\n" + b"x" * 60]
)
def test_a_damaged_debian_package_is_an_error(programs, log, archive):
    client(programs / "apt-get", "some-data.deb", archive, log)
    error = error_of(lambda: fetch("debian", "some-data", "1.0.0-1", WANTED))
    assert "the archive of some-data 1.0.0-1 (debian) cannot be read" in error.what


def test_pip_on_the_path_serves_an_interpreter_without_pip(programs, log, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    client(programs / "pip3", "some_data-1.0.0.whl", wheel(CONTENT), log)
    assert fetch("pypi", "some-data", "1.0.0", WANTED) == CONTENT


def test_an_installed_package_needs_no_client(programs, cache):
    distribution = importlib.metadata.distribution("pytest")
    path = "pytest/__init__.py"
    content = Path(distribution.locate_file(path)).read_bytes()
    assert fetch("pypi", "pytest", "1.0", {path: digest(content)}) == {path: content}
    assert not cache.exists()


# --- what fails says why


def error_of(call, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def test_a_missing_client_is_named(programs, monkeypatch):
    assert "install Node.js" in error_of(fetch_npm).fix
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = error_of(lambda: fetch("pypi", "some-data", "1.0.0", WANTED))
    assert "`pip` is needed to get some-data 1.0.0" in error.what


def test_a_failing_client_is_quoted(programs):
    script(
        programs / "npm",
        "print('npm error code E404')\n"
        "print(*['padding'] * 50, sep='\\n')\n"
        "print('the very last line', file=sys.stderr)\n"
        "sys.exit(7)",
    )
    error = error_of(fetch_npm)
    assert error.got.startswith("exit status 7: npm error code E404 | padding |")
    assert error.got.endswith("| padding | the very last line")
    assert "some-data 1.0.0 (npm)" in error.what
    assert "npm pack some-data@1.0.0" in error.fix


def test_a_client_that_hangs_is_stopped(programs, monkeypatch):
    script(programs / "npm", "time.sleep(60)")
    monkeypatch.setattr(packages, "_SECONDS", 0.2)
    assert "still running after 0.2 s" in error_of(fetch_npm).got


def test_a_client_that_cannot_run_is_an_error(programs):
    (programs / "npm").write_text("#!/nonexistent/interpreter\n")
    (programs / "npm").chmod(0o755)
    assert "cannot run `npm pack" in error_of(fetch_npm).what


def test_a_client_that_leaves_nothing_is_an_error(programs):
    script(programs / "npm", "open('notes.txt', 'w').close()")
    error = error_of(fetch_npm)
    assert "no single archive" in error.what
    assert "notes.txt" in error.got


def test_a_file_with_another_checksum_is_refused(npm, cache):
    npm(tar({**CONTENT, "package/two": b"too"}))
    error = error_of(fetch_npm)
    assert "package/two of some-data 1.0.0 (npm)" in error.what
    assert digest(b"too") in error.got
    assert digest(b"two") in error.expected
    assert not cache.exists()


def test_a_missing_file_is_named(npm):
    npm(tar({"package/two": b"two", "package/data/one/": b""}))
    assert error_of(fetch_npm).got == "'package/data/one'"


def test_a_link_is_not_a_file(npm, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"two")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/two")
        info.type = tarfile.SYMTYPE
        info.linkname = str(secret)
        archive.addfile(info)
    npm(buffer.getvalue())
    members = {"package/two": WANTED["package/two"]}
    assert error_of(lambda: fetch_npm(members)).got == "'package/two'"


@pytest.mark.parametrize(("pack", "suffix"), [(tar, "tgz"), (wheel, "whl")])
def test_a_file_beyond_the_limit_is_not_read(npm, pack, suffix):
    npm(pack(CONTENT), f"some-data.{suffix}")
    assert "at most 399 bytes" in error_of(lambda: fetch_npm(limit=399)).expected
    assert fetch_npm(limit=400) == CONTENT


@pytest.mark.parametrize(("pack", "suffix"), [(tar, "tgz"), (wheel, "whl")])
def test_a_path_outside_stays_inside_the_archive(npm, tmp_path, pack, suffix):
    outside = str(tmp_path / "outside")
    npm(pack({"../outside": b"x", outside: b"x", **CONTENT}), f"some-data.{suffix}")
    assert fetch_npm() == CONTENT
    assert not Path(outside).exists()


@pytest.mark.parametrize(("pack", "suffix"), [(tar, "tgz"), (wheel, "whl")])
def test_a_damaged_archive_is_an_error(npm, pack, suffix):
    whole = pack({name: bytes(range(256)) * 9 for name in CONTENT})
    for length in (0, 3, len(whole) // 2, len(whole) - 30):
        npm(whole[:length], f"some-data.{suffix}")
        error_of(fetch_npm)
        npm(whole[:length] + bytes(40) + whole[length + 40 :], f"some-data.{suffix}")
        error_of(fetch_npm)


def test_a_cache_that_cannot_be_written_is_an_error(npm, tmp_path, monkeypatch):
    npm(tar(CONTENT))
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLAIT_CACHE", str(tmp_path / "file" / "cache"))
    assert "PLAIT_CACHE" in error_of(fetch_npm).fix


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("--index-url", "1.0.0"),
        ("../folder", "1.0.0"),
        ("https://example.org/x", "1.0.0"),
        ("@scope", "1.0.0"),
        ("some data", "1.0.0"),
        ("", "1.0.0"),
        ("some-data\n", "1.0.0"),
        ("some-data", "latest"),
        ("some-data", ">=1"),
        ("some-data", ""),
    ],
)
def test_names_that_a_client_could_misread_are_refused(programs, name, version):
    error_of(lambda: fetch("npm", name, version, WANTED), ArgumentError)


def test_scoped_names_are_accepted(npm, log):
    npm(tar(CONTENT))
    assert fetch("npm", "@scope/name", "1.0.0-rc.1", WANTED) == CONTENT
    assert "pack @scope/name@1.0.0-rc.1 " in log.read_text()


def test_an_unknown_registry_is_refused():
    error = error_of(lambda: fetch("gems", "a", "1", {}), ArgumentError)
    assert error.got == "'gems'"
    assert error.expected == "'npm', 'pypi', 'pypi-sdist', 'debian'"


# --- where the cache is


def test_the_cache_folder_follows_its_variable(monkeypatch):
    monkeypatch.setenv("PLAIT_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/plait"),
        ("linux", {}, "/home/me/.cache/plait"),
        ("darwin", {}, "/home/me/Library/Caches/plait"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/plait"),
    ],
)
def test_the_cache_folder_is_the_platforms(monkeypatch, platform, variables, expected):
    for name in ("PLAIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)
