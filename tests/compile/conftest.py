"""A folder for compiled code that tests may fill."""

import pytest

from plait.settings import settings


@pytest.fixture(autouse=True, scope="session")
def _shared_folder(tmp_path_factory):
    """What tests compile is not kept, but shared by them."""
    before = settings.cache
    settings.cache = str(tmp_path_factory.mktemp("cache"))
    yield
    settings.cache = before
