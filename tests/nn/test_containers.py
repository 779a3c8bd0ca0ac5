"""Modules and parameters in rows and under names."""

import pytest

import plait
from plait import errors, nn


def names(module):
    return [name for name, _ in module.named_children()]


def test_sequential_as_a_list():
    relu, tanh, linear = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)
    row = nn.Sequential(relu, linear)
    assert len(row) == 2
    assert list(row) == [relu, linear]
    assert row[0] is relu
    assert row[-1] is linear
    assert linear in row
    assert tanh not in row
    assert row.insert(1, tanh) is row
    assert list(row) == [relu, tanh, linear]
    assert names(row) == ["0", "1", "2"]
    assert row.append(nn.ReLU()) is row
    assert row.pop(0) is relu
    assert names(row) == ["0", "1", "2"]
    row[0] = relu
    assert row[0] is relu
    del row[1:]
    assert list(row) == [relu]
    assert row.extend([tanh])[1] is tanh
    for wrong in (2, -3):
        with pytest.raises(errors.IndexingError, match="out of range"):
            row[wrong]


def test_a_part_of_a_sequential_shares_its_modules():
    row = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    part = row[1:]
    assert type(part) is nn.Sequential
    assert part[1] is row[2]
    assert names(part) == ["1", "2"]
    part.append(nn.Tanh())
    assert names(part) == ["1", "2", "3"]
    assert len(row) == 3


def test_sequential_with_names():
    row = nn.Sequential({"first": nn.Linear(2, 3), "second": nn.ReLU()})
    assert list(row.state_dict()) == ["first.weight", "first.bias"]
    assert row.first is row[0]
    assert row(plait.ones(1, 2)).shape == (1, 3)


def test_a_class_in_place_of_a_module():
    with pytest.raises(errors.ArgumentTypeError, match="the class ReLU") as info:
        nn.Sequential(nn.ReLU)
    assert "make one of it" in str(info.value)
    with pytest.raises(errors.ArgumentTypeError, match="holds modules only"):
        nn.ModuleList([3])
    with pytest.raises(errors.ArgumentTypeError, match="holds parameters only"):
        nn.ParameterList([3])


def test_an_empty_sequential_hands_on_its_input():
    x = plait.ones(2)
    assert nn.Sequential()(x) is x


def test_module_list():
    row = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    assert list(row.state_dict())[::2] == ["0.weight", "1.weight", "2.weight"]
    assert type(row[:2]) is nn.ModuleList
    assert len(row[:2]) == 2
    with pytest.raises(NotImplementedError):
        row(plait.ones(1))


def test_module_dict():
    table = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Linear(1, 1)})
    assert list(table) == ["b", "a"]
    assert "a" in table
    assert isinstance(table["b"], nn.ReLU)
    table["c"] = nn.Tanh()
    table.update([("b", nn.Tanh())])
    assert list(table.keys()) == ["b", "a", "c"]
    assert isinstance(table.pop("b"), nn.Tanh)
    assert [type(x) for x in table.values()] == [nn.Linear, nn.Tanh]
    assert dict(table.items())["c"] is table["c"]
    del table["c"]
    assert len(table) == 1
    table.clear()
    assert len(table) == 0
    with pytest.raises(errors.ArgumentError, match="nothing of this name"):
        table["x"]
    for name in ("keys", "a.b", ""):
        with pytest.raises(errors.ArgumentError):
            table[name] = nn.ReLU()


def test_parameter_list_and_dict():
    row = nn.ParameterList([plait.zeros(2), nn.Parameter([1.0])])
    assert all(isinstance(x, nn.Parameter) for x in row)
    row.append(plait.ones(3))
    row[0] = plait.ones(1)
    assert [x.shape for x in row] == [(1,), (1,), (3,)]
    assert list(row.state_dict()) == ["0", "1", "2"]
    assert type(row[1:]) is nn.ParameterList
    table = nn.ParameterDict({"w": plait.zeros(2)})
    table["b"] = plait.zeros(1)
    assert list(table.state_dict()) == ["w", "b"]
    assert isinstance(table["w"], nn.Parameter)
    owner = nn.Module()
    owner.row, owner.table = row, table
    assert list(owner.state_dict()) == ["row.0", "row.1", "row.2", "table.w", "table.b"]


def test_a_list_of_modules_is_no_module():
    with pytest.raises(errors.ArgumentTypeError) as caught:
        nn.Sequential([nn.ReLU()])
    assert caught.value.message == (
        "[Sequential] holds modules only. Got: a list. Fix: give them one by one: "
        "*items."
    )
