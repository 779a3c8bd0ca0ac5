"""Object code on disk, so that the next process need not compile it again.

An entry is a file named by the SHA-256 of all that the code depends on. Its header has
the SHA-256 of the rest: what is damaged, whatever by, is thrown away and compiled
again. Files are written under another name and then renamed, so that a process sees
whole entries or none, even if others write the same one or are killed meanwhile. When
entries get too large together, those that were read longest ago go first. Nothing that
goes wrong with the folder is an error: there is one warning, and then no cache.

Read first: `get`, `put`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..settings import settings

_MAGIC = b"plait object 1\n"
_HEADER = len(_MAGIC) + 32
_SUFFIX, _UNFINISHED = ".object", ".unfinished"
# Files that a process did not live to rename are removed after so many seconds.
_ABANDONED = 600
_MIB = 1 << 20


def folder() -> Path | None:
    """Return the folder of the entries, which may not exist yet; None for no cache.

    It is `objects` in the folder of the setting `cache`, which is by default `plait` in
    the platform's folder for caches.
    """
    chosen = settings.cache
    if chosen in ("", "off"):
        return None
    if chosen != "auto":
        return Path(chosen).expanduser() / "objects"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/plait/objects").expanduser()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    home = Path(os.environ.get(variable) or "~/.cache").expanduser()
    return home / "plait" / "objects"


def key(*parts: str) -> str:
    """Return the name of what depends on all of `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def get(name: str) -> bytes | None:
    """Return the object code named `name`, or None if it must be made."""
    home = folder()
    if home is None or _state.broken:
        return None
    path = home / (name + _SUFFIX)
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _give_up(error)
        return None
    content = data[_HEADER:]
    if data[:_HEADER] != _header(name, content):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it was needed now: see `_shrink`
    return content


def put(name: str, content: bytes) -> None:
    """Keep object code under a name."""
    home = folder()
    if home is None or _state.broken:
        return
    unfinished = ""
    try:
        home.mkdir(parents=True, exist_ok=True)
        number, unfinished = tempfile.mkstemp(_UNFINISHED, dir=home)
        with open(number, "wb") as stream:
            stream.write(_header(name, content))
            stream.write(content)
        os.replace(unfinished, home / (name + _SUFFIX))
        _state.written(home, _HEADER + len(content))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        _give_up(error)


def _header(name: str, content: bytes) -> bytes:
    """The name is part of the sum: a file that was renamed is not what it says."""
    return _MAGIC + hashlib.sha256(name.encode() + content).digest()


class _State:
    """What this process knows of the folder."""

    def __init__(self) -> None:
        self.broken = False
        self.size = -1  # of all entries, as far as we know; -1: not looked yet

    def written(self, home: Path, nbytes: int) -> None:
        """Count what was written; make room when it gets too much."""
        if self.size < 0:
            self.size = _tidy(home)
        else:
            self.size += nbytes
        limit = settings.cache_size * _MIB
        if self.size > limit:
            # To less than the limit, so that it is not done at every entry.
            self.size = _shrink(home, limit * 3 // 4)


_state = _State()


def _give_up(error: OSError) -> None:
    _state.broken = True
    # A user may have turned warnings into errors, but may not lose a computation.
    with contextlib.suppress(Warning):
        warnings.warn(
            f"plait keeps no compiled code from now on: {error}. Set PLAIT_CACHE to a "
            "folder that can be written, or to off",
            RuntimeWarning,
            stacklevel=2,
        )


class Entry(NamedTuple):
    """A file of the cache, with its size and when it was last needed."""

    path: str
    size: int
    used: float


def entries() -> list[Entry]:
    """Return all entries, the one that was not needed for longest first."""
    home = folder()
    return [] if home is None else _entries(home, _SUFFIX)


def _entries(home: Path, suffix: str) -> list[Entry]:
    found = [
        Entry(file.path, status.st_size, status.st_mtime)
        for file, status in _files(home)
        if file.name.endswith(suffix)
    ]
    return sorted(found, key=lambda entry: entry.used)


def _files(home: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(home) as files:
        for file in files:
            # Another process may have removed it just now.
            with contextlib.suppress(FileNotFoundError):
                yield file, file.stat()


def _tidy(home: Path) -> int:
    """Remove what processes left that were killed; return the size of all entries."""
    for entry in _entries(home, _UNFINISHED):
        if entry.used < time.time() - _ABANDONED:
            _remove(entry)
    return sum(entry.size for entry in _entries(home, _SUFFIX))


def _shrink(home: Path, limit: int) -> int:
    """Remove entries until their size is at most `limit`; return it."""
    found = _entries(home, _SUFFIX)
    size = sum(entry.size for entry in found)
    for entry in found:
        if size <= limit:
            break
        _remove(entry)
        size -= entry.size
    return size


def _remove(entry: Entry) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(entry.path)


def clear() -> int:
    """Remove all entries and what is left of others; return how many there were.

    Raises:
        OSError: one cannot be removed.
    """
    home = folder()
    if home is None:
        return 0
    found = _entries(home, _SUFFIX)
    for entry in [*found, *_entries(home, _UNFINISHED)]:
        _remove(entry)
    _state.size = -1
    return len(found)
