import pytest

import plait
from plait.errors import ArgumentError


def test_the_number_of_threads_is_set_and_read(monkeypatch):
    monkeypatch.setattr(plait.settings, "num_threads", 0)
    assert plait.get_num_threads() >= 1
    plait.set_num_threads(3)
    assert plait.get_num_threads() == 3
    with pytest.raises(ArgumentError, match="not an integer of at least 1"):
        plait.set_num_threads(0)
