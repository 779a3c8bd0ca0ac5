"""`plait cache` shows and removes compiled code."""

from plait.runtime import cache
from plait.settings import settings


def test_cache(plait_here, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "cache", str(tmp_path))
    monkeypatch.setattr(cache, "_state", cache._State())
    home = tmp_path / "objects"
    done = plait_here("cache")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"folder   {home} (not made yet)",
        "entries  0",
        "size     0.0 MiB of at most 512",
    ]
    for i in range(3):
        cache.put(cache.key(str(i)), bytes(2**20))
    assert plait_here("cache").out.splitlines() == [
        f"folder   {home}",
        "entries  3",
        "size     3.0 MiB of at most 512",
    ]
    assert plait_here("cache", "--clear").out == f"removed 3 entries from {home}\n"
    assert cache.entries() == []


def test_no_cache(plait_here, monkeypatch):
    monkeypatch.setattr(settings, "cache", "off")
    for arguments in ((), ("--clear",)):
        done = plait_here("cache", *arguments)
        assert (done.status, done.out) == (
            0,
            "folder   none: the setting `cache` is off\n",
        )
