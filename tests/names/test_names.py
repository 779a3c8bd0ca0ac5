"""What plait says of names of other frameworks."""

import importlib.util
from pathlib import Path

import pytest

import plait
from plait import names
from plait.cli.main import main
from plait.names import lookup

ROOT = Path(__file__).parent.parent.parent
_spec = importlib.util.spec_from_file_location(
    "compare_names", ROOT / "tools" / "compare_names.py"
)
compare_names = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compare_names)


@pytest.mark.parametrize("framework", names.FRAMEWORKS)
def test_every_name_leads_somewhere_or_has_a_reason(framework):
    assert list(compare_names.lost(framework)) == []
    for entry in names.entries(framework):
        assert entry.path or entry.remark


@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_the_lists_are_whole(framework):
    assert list(compare_names.unlisted(framework)) == []


def test_every_file_is_of_a_known_framework():
    folder = ROOT / "src" / "plait" / "names"
    assert {p.stem for p in folder.glob("*.txt")} == set(names.FRAMEWORKS)


@pytest.mark.parametrize(
    ("room", "name", "message"),
    [
        (
            plait.nn,
            "Dense",
            "plait.nn has no 'Dense'. keras.layers.Dense is plait.nn.Linear here "
            "(in_features too, or LazyLinear; an activation is a layer of its own)",
        ),
        (plait, "cat", "plait has no 'cat'. torch.cat is plait.concat here"),
        (plait.nn, "Liner", "plait.nn has no 'Liner'; did you mean 'Linear'?"),
        (plait.nn, "relU", "plait.nn has no 'relU'; did you mean 'ReLU'?"),
        (plait.nn, "one_hot", "plait.nn has no 'one_hot'; did you mean plait.one_hot?"),
        (
            plait.nn,
            "functional",
            "plait.nn has no 'functional'. torch.nn.functional is plait here",
        ),
        (
            plait.models,
            "SOM",
            "plait.models has no 'SOM'. SOM is plait.models.SelfOrganizingMap here",
        ),
        (
            plait.random,
            "PRNGKey",
            "plait.random has no 'PRNGKey'. jax.random.PRNGKey is plait.random.key "
            "here",
        ),
        (
            plait.nn.Linear(1, 1),
            "fit",
            "Linear has no 'fit'. keras.Model.fit is plait.train.fit here (takes a "
            "plait.data.Loader)",
        ),
        (
            plait.nn.Linear(1, 1),
            "wieght",
            "Linear has no 'wieght'; did you mean 'weight'?",
        ),
        (plait.nn.Linear(1, 1), "concat", "Linear has no 'concat'"),
        (
            plait.metrics.Accuracy(),
            "compute",
            "Accuracy has no 'compute'. torchmetrics.Metric.compute is "
            "plait.metrics.Metric.value here",
        ),
        (plait.optim, "xyzzy", "plait.optim has no 'xyzzy'"),
        (plait.nn, "_secret", "plait.nn has no '_secret'"),
        (
            plait.ones(2),
            "view_as",
            "plait.Tensor has no 'view_as'. torch.Tensor.view_as is "
            "plait.Tensor.reshape here (x.reshape(y.shape))",
        ),
        (
            plait.ones(2),
            "masked_select",
            "plait.Tensor has no 'masked_select'. torch.Tensor.masked_select is left "
            "out: the shape depends on values; x[mask] looks at them",
        ),
        (
            plait.ones(2),
            "relux",
            "plait.Tensor has no 'relux'; did you mean 'relu'?",
        ),
        (plait.ones(2), "_secret", "plait.Tensor has no '_secret'"),
    ],
)
def test_a_missing_name_says_where_it_is(room, name, message):
    with pytest.raises(AttributeError) as caught:
        getattr(room, name)
    assert str(caught.value) == message
    assert not hasattr(room, name)


class Broken(plait.nn.Module):
    @property
    def half_there(self):
        return self.not_there


def test_a_property_that_fails_says_what_failed():
    with pytest.raises(AttributeError, match=r"^Broken has no 'not_there'$"):
        Broken().half_there  # noqa: B018


def test_rooms_are_imported_when_asked_for():
    assert plait.train.fit
    assert plait.data.Loader


def test_lines_that_cannot_be_read_are_errors(monkeypatch, tmp_path):
    monkeypatch.setattr(lookup.resources, "files", lambda _: tmp_path)
    for text, line in (("[a -> plait]\nx == y", 2), ("Early", 1)):
        (tmp_path / "own.txt").write_text(text)
        lookup.entries.cache_clear()
        with pytest.raises(ValueError, match=rf"own.txt:{line}: cannot read"):
            lookup.entries("own")
    lookup.entries.cache_clear()


def test_find_prints_own_names_and_those_of_others(capsys):
    assert main(["find", "Dense"]) == 0
    assert "keras.layers.Dense is plait.nn.Linear here" in capsys.readouterr().out
    assert main(["find", "torch.nn.functional"]) == 0
    assert capsys.readouterr().out == "torch.nn.functional is plait here\n"
    assert main(["find", "nn.relu6"]) == 0
    out = capsys.readouterr().out
    assert "plait.relu6(x)\n" in out
    assert "plait.nn.ReLU6(inplace=False)\n" in out
    assert main(["find", "AdamW"]) == 0
    with pytest.raises(SystemExit):
        main(["find", "--help"])
    out += capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_find_fails_for_what_nobody_has(capsys):
    assert main(["find", "Lineer"]) == 1
    assert capsys.readouterr().err == (
        "plait: error: there is no 'Lineer'; did you mean 'Linear'?\n"
    )
