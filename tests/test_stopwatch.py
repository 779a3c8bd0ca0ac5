"""The times of passes, and the settings that have them and stages printed."""

import threading
import time

import pytest

from plait.settings import Settings
from plait.stopwatch import taken, timed


def test_a_pass_counts_for_itself_alone():
    taken()
    with timed("outer"):
        time.sleep(0.01)
        with timed("inner"):
            time.sleep(0.05)
    with timed("inner"):
        time.sleep(0.01)
    spent = taken()
    assert set(spent) == {"outer", "inner"}
    assert 0.01 <= spent["outer"] < 0.05
    assert spent["inner"] >= 0.06
    assert taken() == {}


def test_a_pass_that_fails_counts():
    taken()
    with pytest.raises(KeyError), timed("pass"):
        raise KeyError
    assert list(taken()) == ["pass"]


def test_threads_count_for_themselves():
    taken()

    def work():
        with timed("other"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert taken() == {}


@pytest.mark.parametrize(
    ("show", "stage", "shown", "kernel"),
    [
        ("", "graph", False, None),
        ("graph, loops:3", "graph", True, None),
        ("graph, loops:3", "loops", True, 3),
        ("graph, loops:3", "llvm", False, None),
        ("all", "llvm", True, None),
    ],
)
def test_stages_to_be_shown(show, stage, shown, kernel):
    settings = Settings()
    settings.show = show
    assert settings.shows(stage) is shown
    assert settings.shown_kernel(stage) == kernel
