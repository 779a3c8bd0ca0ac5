"""`plait predict`: pictures of every kind, and files that are damaged."""

import gzip
import json
import re

import numpy as np
import pytest

from plait.cli.pictures import draw, read_pictures
from plait.data import digits, write_idx
from plait.errors import FileFormatError, MissingExtraError
from plait.nn import load_weights, save_weights

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def data():
    return digits("mnist-5k")


@pytest.fixture
def predict(trained, plait_here):
    def run(*arguments):
        model = trained[0] / "mnist" / "model.safetensors"
        return plait_here("predict", "--model", model, *arguments)

    return run


def test_a_picture_of_the_test_set(predict, data):
    done = predict("--data", "mnist-5k", "--test-index", "10", "11")
    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    label = data.test_labels[10]
    assert done.out.startswith(f"test picture 10, a {label}: ")
    percents = re.findall(r"(\d)  +([\d.]+) %", done.out)[:10]
    assert [int(digit) for digit, _ in percents] == list(range(10))
    assert sum(float(percent) for _, percent in percents) == pytest.approx(100, abs=0.6)
    best = max(percents, key=lambda pair: float(pair[1]))[0]
    assert re.search(rf"> {best} ", done.out)
    for line in draw(data.test_images[10].astype(np.float32) / 255):
        assert line.rstrip() in done.out


def test_most_predictions_are_right(predict):
    indices = [str(i) for i in range(60)]
    done = predict("--data", "mnist-5k", "--brief", "--test-index", *indices)
    lines = done.out.splitlines()
    assert len(lines) == 60
    assert re.fullmatch(
        r"test picture 0: \d with [\d.]+ %, a \d: (right|wrong)", lines[0]
    )
    assert sum(line.endswith("right") for line in lines) > 48


def test_arrays_and_idx_files_give_the_same(predict, data, tmp_path):
    images = data.test_images[:3]
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "flat.npy", images.reshape(3, 784) / 255)
    np.save(tmp_path / "one.npy", images[0])
    write_idx(tmp_path / "b-ubyte", images)
    write_idx(tmp_path / "c.idx.gz", images)
    names = ["a.npy", "flat.npy", "b-ubyte", "c.idx.gz"]
    done = predict("--brief", *[tmp_path / name for name in names])
    assert (done.status, done.err) == (0, "")
    said = [line.split(": ")[1] for line in done.out.splitlines()]
    assert len(said) == 12
    assert said[:3] == said[3:6] == said[6:9] == said[9:]
    done = predict("--brief", tmp_path / "one.npy")
    assert done.out == f"{tmp_path / 'one.npy'}: {said[0]}\n"
    done = predict("--brief", "--limit", "1", tmp_path / "a.npy")
    assert done.out.splitlines()[1] == f"{tmp_path / 'a.npy'}: 2 more; see --limit"


@pytest.mark.parametrize("paper", ["dark", "light", "transparent", "large"])
def test_images_of_all_kinds(predict, data, tmp_path, paper):
    labels, paths = [], []
    for i in range(20):
        image = Image.fromarray(data.test_images[i])
        if paper == "transparent":
            ink = Image.new("L", image.size, 0)
            image = Image.merge("LA", [ink, image])
        elif paper != "dark":
            image = Image.fromarray(255 - data.test_images[i])
        if paper == "large":
            # A photograph: cream paper, not square, the digit in a corner.
            big = Image.new("RGB", (500, 400), (250, 245, 230))
            big.paste(image.resize((280, 280)).convert("RGB"), (150, 30))
            image = big
        paths.append(tmp_path / f"{i}.{'jpg' if paper == 'large' else 'png'}")
        image.save(paths[-1])
        labels.append(int(data.test_labels[i]))
    done = predict("--brief", *paths)
    assert done.status == 0, done.err
    said = [int(line.split(": ")[1][0]) for line in done.out.splitlines()]
    assert sum(a == b for a, b in zip(said, labels, strict=True)) >= 15


def test_a_large_image_is_brought_into_the_form_of_the_data(data, tmp_path):
    # Scaled up and down again, a digit comes back nearly as it was.
    picture = data.test_images[3].astype(np.float32) / 255
    image = Image.fromarray(255 - data.test_images[3])
    big = Image.new("L", (400, 600), 255)
    big.paste(image.resize((280, 280), Image.Resampling.BICUBIC), (100, 200))
    big.save(tmp_path / "big.png")
    (found,) = read_pictures(tmp_path / "big.png")
    assert found.shape == (28, 28)
    assert np.corrcoef(found.ravel(), picture.ravel())[0, 1] > 0.8


def test_an_image_without_ink_is_blank(tmp_path):
    Image.new("RGB", (50, 80), "white").save(tmp_path / "blank.png")
    (found,) = read_pictures(tmp_path / "blank.png")
    assert found.shape == (28, 28)
    assert not found.any()
    assert draw(found) == [" " * 28] * 14
    assert draw(np.ones((28, 28), np.float32)) == ["@" * 28] * 14
    Image.new("RGB", (1, 1), "white").save(tmp_path / "dot.png")
    assert not read_pictures(tmp_path / "dot.png")[0].any()
    Image.new("RGB", (3, 900), "black").save(tmp_path / "line.png")
    assert read_pictures(tmp_path / "line.png")[0].shape == (28, 28)


def test_pictures_that_cannot_be_read(tmp_path):
    def refused(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileFormatError) as caught:
            read_pictures(path)
        return caught.value

    assert "is no image" in refused("x.png", b"not an image").what
    assert "is no image" in refused("y.png", b"").what
    assert "no array" in refused("x.npy", b"\x93NUMPY...").what
    assert "not an IDX file" in refused("x.idx", b"abcdefgh").what
    pickled = np.array([{}], object)
    np.save(tmp_path / "p.npy", pickled, allow_pickle=True)
    assert "no array" in refused("q.npy", (tmp_path / "p.npy").read_bytes()).what
    for array in (
        np.zeros((28, 27)),
        np.zeros((2, 2, 28, 28)),
        np.zeros(3),
        np.int64(3),
    ):
        np.save(tmp_path / "a.npy", array)
        assert "no pictures" in refused("b.npy", (tmp_path / "a.npy").read_bytes()).what
    for value in (2.0, -1.0, np.nan):
        np.save(tmp_path / "a.npy", np.full((28, 28), value))
        assert "no grey" in refused("b.npy", (tmp_path / "a.npy").read_bytes()).what
    Image.new("L", (20, 20)).save(tmp_path / "cut.png")
    assert refused("d.png", (tmp_path / "cut.png").read_bytes()[:50])
    with pytest.raises(FileNotFoundError):
        read_pictures(tmp_path / "none.png")


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"plait\[image\]"):
        read_pictures(tmp_path / "x.png")


def test_an_image_far_too_large_is_refused(tmp_path, monkeypatch):
    Image.new("L", (200, 200)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)
    with pytest.raises(FileFormatError, match="DecompressionBomb"):
        read_pictures(tmp_path / "x.png")


@pytest.mark.parametrize(
    "how", ["cut off", "text", "empty", "other weights", "odd metadata", "hostile"]
)
def test_a_damaged_model_is_a_clean_error(trained, plait_here, tmp_path, how):
    whole = trained[0] / "mnist" / "model.safetensors"
    path = tmp_path / "model.safetensors"
    weights = load_weights(whole)
    metadata = {"kind": "mnist", "hidden": [128]}
    if how == "cut off":
        path.write_bytes(whole.read_bytes()[:-100])
    elif how == "text":
        path.write_text("this is no model\n" * 100)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "other weights":
        save_weights(weights, path)
    elif how == "odd metadata":
        save_weights(weights, path, {"plait.model": "[" * 100_000})
    elif how == "hostile":
        metadata["hidden"] = [10**12]
        save_weights(weights, path, {"plait.model": json.dumps(metadata)})
    done = plait_here(
        *("predict", "--model", path, "--test-index", "0", "--data", "mnist-5k")
    )
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("plait: error: ")
    assert str(path) in done.err
    assert "Traceback" not in done.err


def test_no_model_and_no_such_picture(predict, plait_here, tmp_path):
    done = plait_here("predict", "--test-index", "0", folder=tmp_path)
    assert (done.status, done.err) == (
        1,
        "plait: error: there is no model mnist; `plait train mnist` writes one\n",
    )
    done = plait_here("predict", "--model", "poems", "a line")
    assert done.err == (
        "plait: error: there is no model poems; `plait train JOB` writes one\n"
    )
    done = predict("--test-index", "5000", "--data", "mnist-5k")
    assert (done.status, done.err) == (
        1,
        "plait: error: there is no test picture 5000; the last is 999\n",
    )
    done = predict(tmp_path / "none.png")
    message = f"plait: error: {tmp_path / 'none.png'}: No such file or directory\n"
    assert (done.status, done.err) == (1, message)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"x"))
    assert predict(tmp_path / "x.gz").status == 1


def test_the_help_is_that_of_the_model_if_there_is_one(predict, plait_here, tmp_path):
    (tmp_path / "mnist").mkdir()  # without a model in it
    without = plait_here("predict", "--help", folder=tmp_path).out
    assert "plait predict --model sentiment" in without
    done = predict("--help")
    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    assert "Say which digits are in pictures" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a file with pictures, or use --test-index\n"),
        (
            ["--test-index", "-1"],
            "argument --test-index: invalid non-negative integer value: '-1'\n",
        ),
        (["x.png", "--hot"], "unrecognized arguments: --hot\n"),
    ],
)
def test_arguments_that_make_no_sense(predict, arguments, message):
    done = predict(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"plait predict: error: {message}")
    assert "--help`." in done.err.splitlines()[-1]
