"""Modules and names that are imported when they are first used."""

import json
import subprocess
import sys

import pytest

import plait
from plait import nn, optim
from plait.late import late

ROOMS = [nn, optim]


def modules_after(code: str) -> set[str]:
    """Return the modules that a new Python has imported after running code."""
    code = f"import json, sys, numpy\n{code}\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_plait_brings_only_what_most_programs_need():
    brought = modules_after("before = {*sys.modules}; import plait")
    bare = modules_after("")
    assert {"plait.nn.linear", "plait.optim.adam"} <= brought
    late_ones = {
        *("difflib", "importlib.resources", "tempfile", "llvmlite"),
        *("plait.compile", "plait.data", "plait.distributions", "plait.metrics"),
        *("plait.models", "plait.train", "plait.nn.augment", "plait.nn.transformer"),
        *("plait.optim.lbfgs", "plait.optim.lion"),
    }
    assert late_ones & (brought - bare) == set()


def test_one_name_brings_what_it_needs():
    brought = modules_after("from plait import nn; nn.Maxout; nn.Maxout(2)")
    assert [m for m in brought if m.startswith("plait.nn") and "activ" in m] != []
    assert "plait.train" not in brought


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_there(room):
    for name in room.__all__:
        assert getattr(room, name) is getattr(room, name)
    assert set(room.__all__) <= set(dir(room))


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_hides_a_name(room):
    for module in set(room._LATE) & set(room.__all__):
        assert getattr(room, module).__name__ == f"{room.__name__}.{module}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_late_module_is_an_attribute(room):
    for module in room._LATE:
        assert getattr(room, module).__name__ == f"{room.__name__}.{module}"


def test_other_names_are_missing():
    with pytest.raises(AttributeError, match="has no 'xyzzy'"):
        nn.xyzzy  # noqa: B018
    assert not hasattr(nn, "numpy_of_no_module")


def test_a_late_module_gives_its_names():
    assert late("plait.trees").flatten is plait.trees.flatten
