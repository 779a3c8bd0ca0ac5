"""Trees: changed leaf by leaf, several side by side."""

from typing import NamedTuple

import pytest

import plait
from plait.errors import ArgumentError
from plait.trees import flatten, unflatten


class Pair(NamedTuple):
    first: object
    second: object


def test_leaves_are_changed_in_their_places():
    tree = {"a": [1, (2, None)], "b": Pair(3, [])}
    changed = plait.tree_map(lambda x: 10 * x, tree)
    assert changed == {"a": [10, (20, None)], "b": Pair(30, [])}
    assert type(changed["b"]) is Pair
    assert unflatten(*reversed(flatten(tree))) == tree


def test_dictionaries_go_by_their_keys():
    one = {"w": 5, "b": {"x": 1, "y": (2, 3)}}
    other = {"b": {"y": (20, 30), "x": 10}, "w": 50}
    assert plait.tree_map(lambda a, b: b - a, one, other) == {
        "w": 45,
        "b": {"x": 9, "y": (18, 27)},
    }
    assert list(plait.tree_map(lambda a, b: a, one, other)) == ["w", "b"]


def test_gradients_beside_parameters():
    params = [{"w": plait.ones(2), "b": plait.zeros(())}]
    found = plait.grad(lambda p: (p[0]["w"] * 3).sum() + p[0]["b"])(params)
    new = plait.tree_map(lambda p, g: p - g, params, found)
    assert new[0]["w"].tolist() == [-2, -2]
    assert new[0]["b"].item() == -1


@pytest.mark.parametrize(
    ("other", "got", "expected"),
    [
        ({"a": 1}, "a dictionary of 'a'", "a list of 2"),
        ([1], "a list of 1", "a list of 2"),
        ((1, 2), "a tuple of 2", "a list of 2"),
        ([1, [2]], "a list of 1", "a leaf"),
        ([1, None], "None", "a leaf"),
        (7, "a leaf", "a list of 2"),
    ],
)
def test_trees_of_other_structures_are_refused(other, got, expected):
    with pytest.raises(ArgumentError) as caught:
        plait.tree_map(lambda a, b: a, [1, 2], other)
    assert caught.value.message == (
        "[tree_map] the trees have different structures. "
        f"Got: {got}. Expected: {expected}."
    )
