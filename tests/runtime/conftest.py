"""A cache and threads that tests may spoil."""

import pytest

from plait.runtime import cache
from plait.settings import settings


@pytest.fixture(autouse=True, scope="session")
def _shared_folder(tmp_path_factory):
    """What tests compile is not kept, but shared by them."""
    before = settings.cache
    settings.cache = str(tmp_path_factory.mktemp("cache"))
    yield
    settings.cache = before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A new cache of its own for a test."""
    monkeypatch.setattr(settings, "cache", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_state", cache._State())
    return tmp_path / "cache" / "objects"


@pytest.fixture
def threads(monkeypatch):
    """Return a function that sets the number of threads for the test."""
    monkeypatch.setattr(settings, "num_threads", settings.num_threads)

    def set_number(count):
        settings.num_threads = count

    return set_number
