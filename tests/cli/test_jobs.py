"""The jobs of `plait train`, on small data made here, and `plait predict` after each.

Their programs are interpreted: that compiled ones give the same is tested elsewhere.
"""

import io
import json
import math
import re
import sys

import numpy as np
import pytest

from plait.cli.models import load_model
from plait.cli.predict import JOBS
from plait.data import write_image
from plait.errors import FileFormatError
from plait.nn import load_metadata, load_weights, save_weights
from plait.settings import settings

Image = pytest.importorskip("PIL.Image")

NAMES = [f"class {i}" for i in range(10)]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(settings, "execution", "interpret")


@pytest.fixture
def train(plait_here, tmp_path):
    """Run a job in a folder of its own; return what it printed."""

    def run(job, *arguments):
        done = plait_here("train", job, *arguments, folder=tmp_path)
        assert (done.status, done.err) == (0, "")
        return done.out

    return run


@pytest.fixture
def predict(plait_here, tmp_path):
    """Ask a model that `train` has written; return what is printed."""

    def run(job, *arguments):
        done = plait_here("predict", "--model", job, *arguments, folder=tmp_path)
        assert (done.status, done.err) == (0, "")
        assert [line for line in done.out.splitlines() if len(line) > 80] == []
        return done.out

    return run


def final(out, name):
    """Return the last number after a name, such as 97.5 of "test accuracy 97.50%"."""
    return float(re.findall(rf"{name} ([\d.]+)", out)[-1])


# --- cifar: pictures of one colour each, and noise


def coloured(labels, seed):
    """Return pictures, shape (n, 3, 32, 32), that differ by colour and by half."""
    noise = np.random.default_rng(seed).integers(-20, 20, (len(labels), 3, 32, 32))
    pictures = np.full((len(labels), 3, 32, 32), 40)
    for picture, label in zip(pictures, labels, strict=True):
        half = slice(0, 16) if label < 5 else slice(16, 32)
        colour = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)][label % 5]
        picture[:, half] = 200 * np.reshape(colour, (3, 1, 1)) + 20
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def cifar_files(tmp_path):
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(NAMES))
    for i, name in enumerate([*[f"data_batch_{i}" for i in range(1, 6)], "test_batch"]):
        labels = np.random.default_rng(i).permutation(np.arange(20) % 10)
        rows = np.hstack([labels[:, None], coloured(labels, i).reshape(20, -1)])
        (folder / f"{name}.bin").write_bytes(rows.astype(np.uint8).tobytes())
    return folder


def test_cifar(train, predict, cifar_files, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "execution", "auto")  # the faster way here
    arguments = ("--data", cifar_files, "--batch-size", 20, "--epochs", 4)
    out = train("cifar", *arguments)
    assert f"CIFAR-10 from {cifar_files}\n100 images to train on, 20 to test on" in out
    assert "10 classes" in out
    assert final(out, "test accuracy") > 50
    ask = f"now try: plait predict --model cifar --test-index 0 --data {cifar_files}\n"
    assert out.endswith(ask)
    assert sorted(path.name for path in (tmp_path / "cifar").iterdir()) == [
        "confusion.png",
        "curves.png",
        "filters.png",
        "model.safetensors",
    ]
    write_image(tmp_path / "a.png", coloured([7], 0)[0].transpose(1, 2, 0))
    Image.new("RGB", (90, 50), "red").save(tmp_path / "b.jpg")
    lines = predict("cifar", "a.png").splitlines()
    assert lines[0] == "a.png"
    assert lines[1].startswith("  > class 7")
    shares = [float(re.search(r"([\d.]+) %", line).group(1)) for line in lines[1:]]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.6)
    one, other = predict("cifar", "a.png", "b.jpg", "--brief").splitlines()
    assert one == f"a.png: class 7 with {shares[0]:.1f} %"
    assert other.startswith("b.jpg: class ")
    numbers = [str(i) for i in range(20)]
    lines = predict("cifar", "--data", cifar_files, "--brief", "--test-index", *numbers)
    pattern = r"test picture \d+: class \d with [\d.]+ %, a class \d: (right|wrong)\n"
    assert re.fullmatch(f"({pattern}){{20}}", lines)
    assert lines.count("right") == round(final(out, "test accuracy") / 5)


def test_folders_of_pictures(train, plait_here, tmp_path):
    for colour in ("blue", "red"):
        (tmp_path / "pictures" / colour).mkdir(parents=True)
        for i in range(10):
            image = Image.new("RGB", (30 + i, 40), colour)
            image.save(tmp_path / "pictures" / colour / f"{i}.png")
    (tmp_path / "pictures" / "red" / "x.png").write_bytes(b"no picture")
    arguments = ("--data", "pictures", "--batch-size", 4, "--epochs", 2)
    out = train("cifar", *arguments)
    assert "pictures in pictures; left out: 1 damaged\n16 images to train on, 4" in out
    assert final(out, "test accuracy") == 100
    other = tmp_path / "other"
    (other / "green").mkdir(parents=True)
    for i in range(5):
        Image.new("RGB", (32, 32), "green").save(other / "green" / f"{i}.png")
    ask = ("predict", "--model", "cifar", "--test-index")
    done = plait_here(*ask, 0, "--data", other)
    assert (done.status, done.out) == (1, "")
    assert "not the classes of the model" in done.err
    done = plait_here(*ask, 4, "--data", "pictures")
    assert done.err == "plait: error: there is no test picture 4; the last is 3\n"


# --- sentiment: one word decides


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["text,label"]
    for i in range(120):
        words = list(rng.choice(["film", "plot", "actor", "scene"], 4))
        words[rng.integers(4)] = ["dull", "fine"][i % 2]
        rows.append(f"{' '.join(words)},{['bad', 'good'][i % 2]}")
    (tmp_path / "texts.csv").write_text("\n".join(rows))
    return tmp_path / "texts.csv"


SMALL_READER = ("--hidden", 8, "--length", 6, "--batch-size", 16, "--lr", 0.03)


@pytest.mark.parametrize("vectors", ["none", "glove.txt"])
def test_sentiment(train, predict, table, tmp_path, monkeypatch, vectors):
    (tmp_path / "glove.txt").write_text("dull 1 0 0.5\nfine -1 0.5 0\nplot 0 0 1\n")
    arguments = ("--data", table.name, "--vectors", vectors, "--size", 6)
    out = train("sentiment", *arguments, *SMALL_READER, "--epochs", 6)
    assert "texts in texts.csv, every fifth to test on\n" in out
    known = "vectors of words are learned" if vectors == "none" else "vectors of 3 word"
    assert known in out
    assert final(out, "test accuracy") > 90
    weights = load_weights(tmp_path / "sentiment" / "model.safetensors")
    size = 6 if vectors == "none" else 3
    assert weights["embedding.weight"].shape == (8, size)
    out = predict("sentiment", "A dull film!", "fine, fine actor")
    first, *bars, second, _, best = out.splitlines()
    assert (first, second) == ("A dull film!", "fine, fine actor")
    assert re.match(r"  > bad  +\d", bars[0])
    assert re.match(r"    good +\d", bars[1])
    assert best.startswith("  > good")
    (tmp_path / "lines.txt").write_text("dull plot\n\n  fine plot  \n")
    lines = predict("sentiment", "--brief", "--lines", "lines.txt").splitlines()
    assert [re.sub(r"[\d.]+ %", "", line) for line in lines] == [
        "bad with : dull plot",
        "good with : fine plot",
    ]
    # More than a batch, from standard input.
    stream = io.TextIOWrapper(io.BytesIO(b"dull plot\r\n" * 501))
    monkeypatch.setattr(sys, "stdin", stream)
    out = predict("sentiment", "--brief", "--lines", "-")
    assert out.splitlines() == lines[:1] * 501


def test_texts_to_test_on(train, plait_here, table, tmp_path):
    (tmp_path / "test.tsv").write_text("label\ttext\ngood\tfine\nbad\tdull\n")
    arguments = ("--data", table, "--vectors", "none", *SMALL_READER, "--epochs", 1)
    out = train("sentiment", *arguments, "--test", "test.tsv")
    assert "120 texts to train on, 2 to test on" in out
    (tmp_path / "other.csv").write_text("text,label\nfine,very good\n")
    done = plait_here("train", "sentiment", *arguments, "--test", "other.csv")
    assert (done.status, done.out) == (1, "")
    assert "line 2: an unknown label\n  got: 'very good'" in done.err


# --- chars: a text that can be known by heart

SMALL_WRITER = (
    *("--context", 8, "--layers", 1, "--heads", 2, "--width", 16, "--steps", 30),
    *("--epochs", 3, "--lr", 0.02, "--length", 20),
)


@pytest.fixture
def alphabet(tmp_path):
    (tmp_path / "text.txt").write_text("abcdefg\n" * 100)
    return tmp_path / "text.txt"


def test_chars(train, predict, alphabet, tmp_path):
    out = train("chars", "--text", alphabet, *SMALL_WRITER, "--begin", "ab")
    assert "800 letters, 9 different" in out
    loss, bits = re.search(r"test loss (\S+), (\S+) bits for a letter,\n", out).groups()
    assert float(loss) < 0.2 * math.log(8)
    assert float(bits) == pytest.approx(float(loss) / math.log(2), abs=0.006)
    sample = (tmp_path / "chars" / "sample.txt").read_text()
    assert len(sample) == 22
    assert f"letters/s\n\n{sample}\n" in out
    assert (tmp_path / "chars" / "curves.png").exists()
    ask = ("chars", "--temperature", 0, "--length", 13)
    assert predict(*ask, "abc") == "abcdefg\nabcdefg\n\n"
    # Letters that it has never seen are no error.
    assert len(predict(*ask, "é日ab")) == 4 + 13 + 1
    hot = ("chars", "--temperature", 9, "--length", 40, "ab")
    assert predict(*hot) == predict(*hot) != predict(*hot, "--seed", 1)


# --- style: the network's weights are noise; the losses go down all the same


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    rng, arrays, before, place = np.random.default_rng(0), {}, 3, 0
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            weight = rng.standard_normal((channels, before, 3, 3), np.float32)
            weight *= (2 / (9 * before)) ** 0.5
            arrays[f"features.{place}.weight"] = weight
            arrays[f"features.{place}.bias"] = np.zeros(channels, np.float32)
            before, place = channels, place + 2
        place += 1
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_weights(arrays, path)
    return path


def test_style(train, vgg, tmp_path):
    rng = np.random.default_rng(0)
    Image.new("RGB", (90, 60), "white").save(tmp_path / "content.png")
    write_image(tmp_path / "style.png", rng.integers(0, 255, (40, 40, 3), np.uint8))
    arguments = ("--content", "content.png", "--style", "style.png", "--size", 24)
    out = train("style", *arguments, "--weights", vgg, "--steps", 4)
    assert "content.png in the style of style.png, 24 x 16 points,\nas" in out
    losses = [float(loss) for loss in re.findall(r"style ([\d.]+)\n", out)]
    assert len(losses) == 4
    assert losses[-1] < 0.9 * losses[0]
    assert sorted(path.name for path in (tmp_path / "style").iterdir()) == [
        "beside.png",
        "curves.png",
        "styled.png",
    ]
    with Image.open(tmp_path / "style" / "styled.png") as image:
        assert image.size == (24, 16)
        first = np.array(image)
    assert 100 < first.mean() < 255
    assert train("style", *arguments, "--weights", vgg, "--steps", 4, "--quiet") == ""
    with Image.open(tmp_path / "style" / "styled.png") as image:
        np.testing.assert_array_equal(image, first)


# --- all of them


def test_a_seed_gives_the_same_file(train, cifar_files, table, alphabet, tmp_path):
    jobs = {
        "cifar": ("--data", cifar_files, "--epochs", 1, "--batch-size", 50),
        "sentiment": (
            *("--data", table, "--vectors", "none", *SMALL_READER, "--epochs", 1),
        ),
        "chars": ("--text", alphabet, *SMALL_WRITER, "--epochs", 1),
    }
    for job, arguments in jobs.items():
        files = []
        for seed in (1, 1, 2):
            output = tmp_path / f"{job}-{len(files)}"
            more = ("--seed", seed, "--output", output, "--quiet")
            assert train(job, *arguments, *more) == ""
            files.append((output / "model.safetensors").read_bytes())
        assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar", "--data", "none"], "none: no such file or folder\n"),
        (["cifar", "--data", "empty"], "[ImageFolder] there are no images in folders"),
        (["cifar", "--data", "text.txt"], "[cifar] "),
        (["sentiment", "--data", "none.csv"], "none.csv: No such file or directory\n"),
        (["sentiment", "--data", "text.txt"], "[read_texts] the ending says not what"),
        (["sentiment", "--data", "one.csv"], "one.csv: too few texts to keep some"),
        (
            ["sentiment", "--data", "one.csv", "--text-column", "words"],
            "[read_texts] one.csv: there is no such column, or two\n  got: 'words'\n",
        ),
        (
            ["sentiment", "--data", "six.csv", "--vectors", "none.txt"],
            "none.txt: No such file or directory\n",
        ),
        (
            [
                "sentiment",
                "--data",
                "six.csv",
                "--vectors",
                "none",
                "--length",
                "90000",
            ],
            "[sentiment] a text cannot be of that length\n  got: 90000\n",
        ),
        (["chars", "--text", "none.txt"], "[corpus] "),
        (
            ["chars", "--text", "text.txt"],
            "the text in text.txt: too short for a context",
        ),
        (["chars", "--text", "long.txt", "--heads", "3"], "[MultiheadAttention] "),
        (["style", "--content", "none.png"], "none.png: No such file or directory\n"),
        (
            ["style", "--content", "chelse"],
            "'chelse' is neither a file nor the name of a photograph\n",
        ),
        (
            ["style", *("--content", "red.png", "--style", "red.png"), "--size", "20"],
            "20 x 10 points are too few: the network needs 16 at least",
        ),
        (
            [
                "style",
                *("--content", "red.png", "--style", "red.png"),
                "--weights",
                "x",
            ],
            "x: No such file or directory\n",
        ),
    ],
)
def test_what_goes_wrong_is_said(plait_here, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("some letters\n")
    (tmp_path / "long.txt").write_text("some letters\n" * 100)
    (tmp_path / "one.csv").write_text("text,label\nfine,good\n")
    (tmp_path / "six.csv").write_text("text,label\n" + "fine,a\ndull,b\nodd,c\n" * 2)
    Image.new("RGB", (40, 20), "red").save(tmp_path / "red.png")
    done = plait_here("train", *arguments, folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"plait: error: {message}")


@pytest.mark.parametrize("job", ["mnist", "cifar", "sentiment", "style", "chars"])
@pytest.mark.parametrize("number", ["-1", "nan", "inf", "much"])
def test_a_rate_that_makes_no_sense(plait_here, job, number):
    done = plait_here("train", job, f"--lr={number}")
    assert (done.status, done.out) == (2, "")
    assert f"argument --lr: invalid non-negative number value: '{number}'" in done.err


CONFIGS = {
    "mnist": {"hidden": [3]},
    "cifar": {"classes": ["a", "b"], "mean": [0.5] * 3, "deviation": [0.2] * 3},
    "sentiment": {
        "tokens": ["fine"],
        "classes": ["a", "b"],
        "size": 3,
        "hidden": 2,
        "length": 4,
    },
    "chars": {"letters": ["a", "b"], "context": 4, "layers": 1, "heads": 1, "width": 2},
}
BUILDERS = {kind: job.new_model for kind, job in JOBS.items()}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("poem", {}),
        ("mnist", {"hidden": "ab"}),
        ("cifar", {"classes": 7}),
        ("cifar", {"classes": [1, 2]}),
        ("cifar", {"classes": []}),
        ("cifar", {"mean": [0.1]}),
        ("cifar", {"deviation": [math.nan] * 3}),
        ("cifar", {"deviation": None}),
        ("sentiment", {"tokens": [1]}),
        ("sentiment", {"tokens": ["a", "a"]}),
        ("sentiment", {"classes": "ab"}),
        ("sentiment", {"length": 10**12}),
        ("sentiment", {"length": -1}),
        ("sentiment", {"length": 2.5}),
        ("sentiment", {"hidden": 10**12}),
        ("sentiment", {"size": "3"}),
        ("chars", {"layers": 10**9}),
        ("chars", {"context": 10**12}),
        ("chars", {"context": 0}),
        ("chars", {"heads": 0}),
        ("chars", {"letters": [["a"], "b"]}),
    ],
)
def test_a_hostile_model_is_refused(tmp_path, kind, changes):
    good = CONFIGS.get(kind, {})
    path = tmp_path / "model.safetensors"
    weights = {} if kind == "poem" else BUILDERS[kind](good).state_dict()
    for config, refused in ((good, kind == "poem"), ({**good, **changes}, True)):
        text = json.dumps({"kind": kind, **config})
        save_weights(weights, path, {"plait.model": text})
        if not refused:
            assert load_model(path, BUILDERS)[::2] == (kind, good)
            continue
        with pytest.raises(FileFormatError) as caught:
            load_model(path, BUILDERS)
        assert caught.value.what == f"{path} is no model that `plait train` has written"
        if kind == "poem":
            assert caught.value.got == "kind 'poem'"
            assert caught.value.expected == "mnist, cifar, sentiment, chars"


@pytest.fixture
def untrained(tmp_path):
    """Return the path of a model with its first weights."""

    def save(kind):
        path = tmp_path / f"{kind}.safetensors"
        weights = BUILDERS[kind](CONFIGS[kind]).state_dict()
        text = json.dumps({"kind": kind, **CONFIGS[kind]})
        save_weights(weights, path, {"plait.model": text})
        return path

    return save


@pytest.mark.parametrize(
    ("kind", "arguments", "status", "message"),
    [
        ("cifar", [], 2, "plait predict: error: name a file with a picture, or use"),
        ("cifar", ["none.png"], 1, "plait: error: none.png: No such file"),
        ("cifar", ["bytes"], 1, "plait: error: [read_image] "),
        ("sentiment", [], 2, "plait predict: error: name a text, or a file with --lin"),
        ("sentiment", ["--lines", "none"], 1, "plait: error: none: No such file"),
        (
            "sentiment",
            ["--lines", "bytes"],
            1,
            "plait: error: bytes: the text is not U",
        ),
        ("chars", ["a", "b"], 2, "plait predict: error: unrecognized arguments: b\n"),
        ("chars", ["--temperature", "-1"], 2, "plait predict: error: argument --temp"),
    ],
)
def test_questions_that_make_no_sense(
    plait_here, untrained, tmp_path, kind, arguments, status, message
):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    ask = ("predict", "--model", untrained(kind), *arguments)
    done = plait_here(*ask, folder=tmp_path)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith(message)


@pytest.mark.parametrize("kind", ["cifar", "sentiment", "chars"])
def test_the_help_is_that_of_the_model(plait_here, untrained, kind):
    done = plait_here("predict", "--model", untrained(kind), "--help")
    assert (done.status, done.err) == (0, "")
    assert f"  plait predict --model {kind} " in done.out
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_without_matplotlib_there_are_no_pictures(train, alphabet, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = train("chars", "--text", alphabet, *SMALL_WRITER, "--epochs", 1)
    assert out.count("no pictures: ") == 1
    assert 'pip install "plait[plot]"' in out
    assert "\nwrote model.safetensors, sample.txt to chars/\n" in out


def test_a_model_that_has_diverged_and_names_that_are_codes(plait_here, tmp_path):
    path = tmp_path / "model.safetensors"
    config = {**CONFIGS["sentiment"], "classes": ["\x1b[31m", "b"]}
    weights = BUILDERS["sentiment"](config).state_dict()
    text = json.dumps({"kind": "sentiment", **config})
    ask = ("predict", "--model", path, "fine")
    save_weights(weights, path, {"plait.model": text})
    assert load_metadata(path) == {"plait.model": text}
    out = plait_here(*ask).out
    assert "\x1b" not in out
    assert "?[31m " in out
    weights["output.bias"] = weights["output.bias"] * math.nan
    save_weights(weights, path, {"plait.model": text})
    done = plait_here(*ask)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("plait: error: the model's scores are no numbers")
