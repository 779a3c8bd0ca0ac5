"""`plait export`: models of the jobs as folders and pages."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import plait
from plait import nn
from plait.cli import export
from plait.cli.jobs import chars, cifar, sentiment
from plait.cli.models import load_model, save_model
from plait.train import TrainStep

CONFIGS = {
    "mnist": {"hidden": [8]},
    "cifar": {
        "classes": ["ship", "cat"], "mean": [0.4, 0.5, 0.6], "deviation": [0.2, 0, 0.3],
    },
    "sentiment": {
        "tokens": ["a", "b"], "classes": ["x", "y"], "size": 3, "hidden": 4,
        "length": 5,
    },
    "chars": {
        "letters": ["a", "b"], "context": 4, "layers": 1, "heads": 1, "width": 8,
    },
}  # fmt: skip


def save(kind, folder):
    """Write a model of a kind with new weights; return the folder."""
    plait.manual_seed(0)
    folder.mkdir()
    config = CONFIGS[kind]
    model = export.KINDS[kind].new_model(config)
    save_model(model, kind, config, folder / "model.safetensors")
    return folder


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize("kind", CONFIGS)
def test_models_of_jobs(kind, tmp_path, plait_here):
    model = save(kind, tmp_path / "made")
    done = plait_here(
        *("export", model, "--train", "--batch-size", "3", "--features", "simd"),
        *("--lr", "0.5", "--rows", "2"),
        folder=tmp_path,
    )
    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    assert done.out.endswith(f"now try: python -m http.server --directory {kind}-web\n")
    found = manifest_of(tmp_path / f"{kind}-web")
    assert found["name"] == kind
    assert [x["symbol"] for x in found["functions"]] == ["predict", "train_step"]
    predict, step = found["functions"]
    assert predict["inputs"][0]["shape"][0] == 2
    assert step["inputs"][0]["shape"][0] == 3
    (rate,) = [x for x in step["inputs"] if x["name"] == "lr"]
    assert rate["default"] == 0.5
    labels = CONFIGS[kind].get("classes")
    if kind == "mnist":
        labels = [str(i) for i in range(10)]
    assert found.get("labels") == labels
    notes = {
        "sentiment": {"words": ["<pad>", "<unk>", "a", "b"]},
        "chars": {"letters": ["\N{REPLACEMENT CHARACTER}", "a", "b"]},
    }
    assert found.get("notes") == notes.get(kind)
    # What a page has trained is a model of the job again.
    state = load_file(tmp_path / f"{kind}-web" / "weights.safetensors")
    own = {name for name in state if not name.startswith(("optimizer.", "random."))}
    assert own == set(load_file(model / "model.safetensors"))


def test_pictures_take_colours_from_0_to_1(tmp_path):
    save("cifar", tmp_path / "made")
    builders = {"cifar": cifar.new_model}
    _, model, config = load_model(tmp_path / "made", builders)
    wrapped = export.Pictures(model, config).eval()
    assert wrapped.state_dict().keys() == model.state_dict().keys()
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    wanted = model(plait.asarray(cifar.as_input(images, config))).numpy()
    found = wrapped(plait.asarray(images / np.float32(255))).numpy()
    np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_a_single_file(tmp_path, plait_here):
    model = save("mnist", tmp_path / "made")
    done = plait_here(
        "export", model, "--single-file", "--quantize", "int8", folder=tmp_path
    )
    assert (done.status, done.err) == (0, "")
    page = (tmp_path / "mnist.html").read_text()
    assert "<title>mnist</title>" in page
    assert "now try" not in done.out


def test_the_jobs_are_trained_as_their_commands_train_them():
    losses = {"chars": chars.next_letter_loss}
    for kind, one in export.KINDS.items():
        model = one.new_model(CONFIGS[kind])
        step = TrainStep(
            model, one.loss_function, one.optimizer(model.parameters(), lr=one.lr)
        )
        assert step.hyperparameters()["lr"] == one.lr
        if kind in losses:
            assert one.loss_function is losses[kind]
        else:
            assert isinstance(one.loss_function, nn.CrossEntropyLoss)
    assert export.KINDS["sentiment"].new_model is sentiment.new_model


def test_errors(tmp_path, plait_here):
    done = plait_here("export", tmp_path / "nothing")
    assert done.status == 1
    assert "there is no model" in done.err
    model = save("mnist", tmp_path / "made")
    done = plait_here("export", model, "--lr", "1", folder=tmp_path)
    assert (done.status, done.err) == (
        1,
        "plait: error: --lr is for training steps; add --train\n",
    )
    done = plait_here("export", model, "--to", model)
    assert done.status == 1
    assert "the folder holds something else" in done.err
    done = plait_here("export", model, "--target", "moon", folder=tmp_path)
    assert done.status == 1
    assert "there is no such target" in done.err
    done = plait_here("export", model, "--quantize", "int2")
    assert done.status == 2


def test_help_fits_in_80_columns(plait_here):
    done = plait_here("export", "--help")
    assert done.status == 0
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    for option in ("--train", "--quantize", "--single-file", "--target"):
        assert option in done.out
