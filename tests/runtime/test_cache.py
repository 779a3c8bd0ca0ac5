"""The cache on disk survives whatever happens to its folder."""

import errno
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from plait.runtime import cache, kernels
from plait.settings import settings

from .llvm_kernels import multiply_add

NAME = cache.key("a")
CONTENT = bytes(range(256)) * 4


def test_what_was_put_is_got(folder):
    assert cache.get(NAME) is None
    cache.put(NAME, CONTENT)
    assert cache.get(NAME) == CONTENT
    assert cache.get(cache.key("b")) is None
    assert [entry.path for entry in cache.entries()] == [str(folder / f"{NAME}.object")]


def test_keys_tell_parts_apart():
    keys = [cache.key(*parts) for parts in (["ab"], ["a", "b"], ["", "ab"], ["ab", ""])]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("off", ["", "off"])
def test_it_can_be_off(monkeypatch, off, folder):
    monkeypatch.setattr(settings, "cache", off)
    cache.put(NAME, CONTENT)
    assert cache.get(NAME) is None
    assert cache.entries() == []
    assert cache.clear() == 0


def test_the_folder_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "cache", "auto")
    for platform, variable in (("linux", "XDG_CACHE_HOME"), ("win32", "LOCALAPPDATA")):
        monkeypatch.setattr(cache.sys, "platform", platform)
        monkeypatch.setenv(variable, str(tmp_path))
        assert cache.folder() == tmp_path / "plait" / "objects"
    monkeypatch.setattr(cache.sys, "platform", "darwin")
    assert cache.folder().parts[-4:] == ("Library", "Caches", "plait", "objects")


def damages():
    return {
        "truncated": lambda data: data[:-1],
        "header only": lambda data: data[: cache._HEADER],
        "part of the header": lambda data: data[:20],
        "empty": lambda data: b"",
        "a bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "longer": lambda data: data + b"x",
        "zeros": lambda data: bytes(len(data)),
    }


@pytest.mark.parametrize("name", damages())
def test_damage_is_noticed(folder, name):
    cache.put(NAME, CONTENT)
    path = folder / f"{NAME}.object"
    path.write_bytes(damages()[name](path.read_bytes()))
    assert cache.get(NAME) is None
    assert not path.exists()
    cache.put(NAME, CONTENT)
    assert cache.get(NAME) == CONTENT


def test_an_entry_under_another_name_is_damage(folder):
    cache.put(NAME, CONTENT)
    other = cache.key("b")
    os.rename(folder / f"{NAME}.object", folder / f"{other}.object")
    assert cache.get(other) is None


def refusing(code):
    def refuse(*arguments, **options):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("broken", ["mkstemp", "mkdir", "replace", "write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.usefixtures("folder")
def test_a_folder_that_cannot_be_written_to(monkeypatch, broken, code):
    if broken == "mkstemp":
        monkeypatch.setattr(cache.tempfile, "mkstemp", refusing(code))
    elif broken == "mkdir":
        monkeypatch.setattr(cache.Path, "mkdir", refusing(code))
    elif broken == "replace":
        monkeypatch.setattr(cache.os, "replace", refusing(code))
    else:

        class Full:
            def __init__(self, number, mode):
                self.number = number

            def __enter__(self):
                return self

            def __exit__(self, *what):
                os.close(self.number)

            write = staticmethod(refusing(code))

        monkeypatch.setattr(cache, "open", Full, raising=False)
    with pytest.warns(RuntimeWarning, match="plait keeps no compiled code") as caught:
        cache.put(NAME, CONTENT)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(NAME, CONTENT)  # there is one warning
        assert cache.get(NAME) is None
    monkeypatch.undo()
    assert not list(cache.folder().glob("*")) if cache.folder() else True


@pytest.mark.usefixtures("folder")
def test_warnings_as_errors_lose_nothing(monkeypatch):
    monkeypatch.setattr(cache.os, "replace", refusing(errno.ENOSPC))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(NAME, CONTENT)


def test_a_folder_that_is_a_file(tmp_path, monkeypatch, folder):
    (tmp_path / "cache").write_text("")
    with pytest.warns(RuntimeWarning, match="PLAIT_CACHE"):
        assert cache.get(NAME) is None
    assert cache.get(NAME) is None


def test_a_folder_that_is_removed_meanwhile(folder):
    cache.put(NAME, CONTENT)
    assert cache.clear() == 1
    folder.rmdir()
    assert cache.get(NAME) is None
    assert cache.entries() == []
    cache.put(NAME, CONTENT)
    assert cache.get(NAME) == CONTENT


def test_the_size_is_bounded(monkeypatch, folder):
    monkeypatch.setattr(settings, "cache_size", 1)
    content = bytes(100_000)
    names = [cache.key(str(i)) for i in range(30)]
    for i, name in enumerate(names):
        cache.put(name, content)
        moment = time.time() - 1000 + i
        path = folder / f"{name}.object"
        if path.exists():
            os.utime(path, (moment, moment))
        if i > 0:
            assert cache.get(names[0]) is not None  # used all the time: it stays
        size = sum(file.stat().st_size for file in folder.iterdir())
        assert size <= 2**20
    assert cache.get(names[1]) is None
    assert cache.get(names[-1]) == content
    # Another process knows how much there is before it writes.
    monkeypatch.setattr(cache, "_state", cache._State())
    for i in range(100, 110):
        cache.put(cache.key(str(i)), content)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2**20


def test_what_killed_processes_leave_is_removed(folder):
    folder.mkdir(parents=True)
    old, new = folder / "old.unfinished", folder / "new.unfinished"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    moment = time.time() - 1e4
    os.utime(old, (moment, moment))
    cache.put(NAME, CONTENT)
    assert not old.exists()
    assert new.exists()
    assert cache.clear() == 1
    assert list(folder.iterdir()) == []


WRITER = """
import sys
from plait.runtime import cache
print("ready", flush=True)
for turn in range(10**9 if sys.argv[1] == "forever" else 200):
    for i in range(5):
        name = cache.key(str(i))
        content = bytes([i]) * 50_000
        found = cache.get(name)
        if turn % 7 == 0 and found is not None:
            cache.folder().joinpath(name + ".object").unlink(missing_ok=True)
        assert found in (None, content)
        cache.put(name, content)
print(cache._state.broken)
"""


def writer(folder, how):
    environment = {**os.environ, "PLAIT_CACHE": str(folder.parent)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, how],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once(folder):
    both = [writer(folder, "once") for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "ready\nFalse\n")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_killed_at_any_moment(folder):
    for i in range(4):
        process = writer(folder, "forever")
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.005 + 0.011 * i)
        process.kill()
        process.communicate()
        for j in range(5):
            assert cache.get(cache.key(str(j))) in (None, bytes([j]) * 50_000)
    cache.put(NAME, CONTENT)
    assert cache.get(NAME) == CONTENT


@pytest.mark.usefixtures("folder")
def test_a_kernel_is_built_once_for_all():
    code = multiply_add(3, 1, 7.0, 5.0)
    built = []

    def build():
        built.append(1)
        return code.build()

    def fresh_code():
        return type(code)(code.name, code.key + "\n; x", 1, 0, code.work, build)

    first = kernels.load(fresh_code())
    assert kernels.load(fresh_code()) is first
    del first
    kernels.load(fresh_code())  # loaded again, from the disk
    assert built == [1]
