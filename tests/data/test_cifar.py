"""CIFAR, from made-up files in every form of it; and emoji, from a made-up package."""

import hashlib
import io
import json
import pickle
import sys
import tarfile

import numpy as np
import pytest

from plait.data import cifar, emoji, read_image, write_image
from plait.errors import DataError, FileFormatError

module = sys.modules["plait.data.cifar"]

TEN = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
    "truck",
]  # fmt: skip
HUNDRED = [f"class {i}" for i in range(100)]


def made_up(count, seed, classes=10):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return images, generator.integers(0, classes, count)


def binary_ten(images, labels):
    return np.hstack([labels.astype(np.uint8)[:, None], images]).tobytes()


def binary_hundred(images, labels):
    coarse = np.zeros((len(labels), 1), np.uint8)
    return np.hstack([coarse, labels.astype(np.uint8)[:, None], images]).tobytes()


def python(key):
    def encode(images, labels):
        return pickle.dumps({"data": images, key: labels.tolist(), "filenames": []}, 2)

    return encode


def python2(images, labels):
    """Return what Python 2 wrote: texts and bytes are the same kind of strings."""
    rows = b"U\x06labels(" + b"".join(b"K" + bytes([int(i)]) for i in labels) + b"l"
    dtype = (
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    data = (
        b"U\x04datacnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K" + bytes([len(images)]) + b"M\x00\x0c\x86" + dtype + b"\x89"
        b"T" + images.size.to_bytes(4, "little") + images.tobytes() + b"tb"
    )
    return b"\x80\x02}(" + rows + data + b"u."


NAMES_TEN = {
    "batches.meta.txt": "\n".join(TEN).encode() + b"\n\n",
    "batches.meta": pickle.dumps({"label_names": TEN}, 2),
}
FORMS = {
    "binary": (binary_ten, "data_batch_{}.bin", "test_batch.bin", "batches.meta.txt"),
    "python": (python("labels"), "data_batch_{}", "test_batch", "batches.meta"),
    "python2": (python2, "data_batch_{}", "test_batch", "batches.meta"),
}


def files_of_ten(form):
    encode, train, test, names = FORMS[form]
    files = {train.format(i): encode(*made_up(4, i)) for i in range(1, 6)}
    return files | {test: encode(*made_up(3, 6)), names: NAMES_TEN[names]}


def files_of_hundred(form):
    train, test = made_up(20, 1, 100), made_up(3, 2, 100)
    if form == "binary":
        return {
            "train.bin": binary_hundred(*train),
            "test.bin": binary_hundred(*test),
            "fine_label_names.txt": "\n".join(HUNDRED).encode(),
        }
    encode = python("fine_labels")
    return {
        "train": encode(*train),
        "test": encode(*test),
        "meta": pickle.dumps({"fine_label_names": HUNDRED}, 2),
    }


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["folder", "folder in a folder", "archive"])
def test_cifar_10(tmp_path, form, place):
    files = files_of_ten(form)
    if place == "archive":
        source = pack(tmp_path / "cifar.tar.gz", files)
    else:
        source = tmp_path / "data"
        write(source if place == "folder" else source / "batches", files)
    data = cifar(source)
    parts = [made_up(4, i) for i in range(1, 6)]
    images = np.concatenate([part[0] for part in parts]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(data.train_images, images)
    np.testing.assert_array_equal(
        data.train_labels, np.concatenate([part[1] for part in parts])
    )
    test_images, test_labels = made_up(3, 6)
    np.testing.assert_array_equal(data.test_images, test_images.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.test_labels, test_labels)
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.dtype == np.int64
    assert data.classes == TEN
    assert data.description == f"CIFAR-10 from {source}"


@pytest.mark.parametrize("form", ["binary", "python"])
def test_cifar_100(tmp_path, form):
    data = cifar(write(tmp_path / "data", files_of_hundred(form)))
    images, labels = made_up(20, 1, 100)
    np.testing.assert_array_equal(data.train_images, images.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.train_labels, labels)
    assert len(data.test_labels) == 3
    assert data.classes == HUNDRED
    assert data.description.startswith("CIFAR-100 from")


def fault(tmp_path, kind=FileFormatError, form="binary", **changes):
    """Return the message for CIFAR-10 with some files changed; None leaves one out."""
    changes = {name.replace("__", "."): content for name, content in changes.items()}
    files = files_of_ten(form) | changes
    files = {name: content for name, content in files.items() if content is not None}
    with pytest.raises(kind) as error:
        cifar(write(tmp_path / "data", files))
    return error.value.message


def test_faults_of_binary_files(tmp_path):
    assert fault(tmp_path / "1", data_batch_2__bin=b"\0" * 3072) == (
        "[cifar] data_batch_2.bin: cut off, or not CIFAR-10's binary version. Got: "
        "3072 bytes. Expected: a multiple of 3073 bytes."
    )
    assert "cut off" in fault(tmp_path / "2", test_batch__bin=b"")
    assert fault(tmp_path / "3", test_batch__bin=b"\x0a" + b"\0" * 3072).endswith(
        "a test label is beyond the classes. Got: 10. Expected: 0 to 9."
    )
    assert fault(tmp_path / "4", batches__meta__txt=b"cat\ndog\n") == (
        "[cifar] batches.meta.txt: these are not the classes of CIFAR-10. Got: 2 "
        "names. "
        "Expected: 10."
    )
    message = fault(tmp_path / "5", DataError, data_batch_5__bin=None)
    assert message.startswith("[cifar] files of CIFAR are missing. Got: ")
    assert "data_batch_1 ... data_batch_5, test_batch and batches.meta" in message


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([1], "the pickle holds no dictionary"),
        ({"labels": [1]}, "the pickle lacks 'data'"),
        ({"data": np.zeros((1, 3072)), "labels": [1]}, "float64 of shape (1, 3072)"),
        ({"data": np.zeros((1, 9), np.uint8), "labels": [1]}, "uint8 of shape (1, 9)"),
        ({"data": "x", "labels": [1]}, "Got: str"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": []}, "not one label"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "not one label"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [1 << 70]}, "beyond"),
        ({"data": print, "labels": [1]}, "holds more than plain values"),
    ],
)
def test_faults_of_python_files(tmp_path, value, what):
    content = pickle.dumps(value, 2)
    assert what in fault(tmp_path, form="python", data_batch_3=content)


def test_faults_of_archives(tmp_path):
    path = pack(tmp_path / "cifar.tar.gz", files_of_ten("binary"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FileFormatError, match="the archive is damaged or cut off"):
        cifar(path)
    path.write_bytes(b"no archive")
    with pytest.raises(FileFormatError, match="the archive is damaged or cut off"):
        cifar(path)
    with pytest.raises(DataError, match="files of CIFAR are missing"):
        cifar(pack(tmp_path / "empty.tar.gz", {}))
    with pytest.raises(DataError, match="no such folder or archive"):
        cifar(tmp_path / "none")


def test_a_file_that_is_far_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LIMIT", 10_000)
    assert "far larger than any file of CIFAR" in fault(tmp_path)
    with pytest.raises(FileFormatError, match="far larger than any file of CIFAR"):
        cifar(pack(tmp_path / "cifar.tar.gz", files_of_ten("binary")))


# --- emoji


@pytest.fixture
def made_up_emoji(tmp_path, monkeypatch):
    """Have `fetch` give sheets of 3 by 3 drawings, each of one colour."""
    pytest.importorskip("PIL.Image")
    categories = ["Flags", "Component", "Animals", "Flags"]
    entries = [
        {
            "unified": f"1F{i:03}",
            "category": categories[i % 4],
            "sheet_x": i % 3,
            "sheet_y": i // 3,
            "has_img_google": True,
            "has_img_twitter": i != 0,
        }
        for i in range(9)
    ]

    def fetch(registry, name, version, members):
        vendor = name.removeprefix("emoji-datasource-")
        sheet = np.full((102, 102, 3), 255, np.uint8)
        for i in range(9):
            top, left = i // 3 * 34 + 1, i % 3 * 34 + 1
            sheet[top : top + 32, left : left + 32] = 10 * i, 0, len(vendor)
        path = tmp_path / "sheet.png"
        write_image(path, sheet)
        assert (registry, version) == ("npm", "16.0.0")
        return {
            "package/emoji.json": json.dumps(entries).encode(),
            f"package/img/{vendor}/sheets/32.png": path.read_bytes(),
        }

    monkeypatch.setattr(module, "fetch", fetch)
    return entries


def test_emoji_are_cut_out_and_split_by_what_they_show(made_up_emoji):
    data = emoji()
    assert data.classes == ["Animals", "Flags"]
    assert "drawings of emoji, not photographs" in data.description
    seen = {}
    for part in ("train", "test"):
        images, labels = (
            getattr(data, f"{part}_images"),
            getattr(data, f"{part}_labels"),
        )
        assert images.shape[1:] == (3, 32, 32)
        for image, label in zip(images, labels, strict=True):
            assert (image == image[:, :1, :1]).all()  # no edge of a neighbour
            i, _, vendor = (image[:, 0, 0] / [10, 1, 1]).astype(int)
            assert data.classes[label] == made_up_emoji[i]["category"]
            seen.setdefault(int(i), []).append((int(vendor), part))
    # Of number 0 there is one drawing only; 1 and 5 are components.
    assert sorted(seen) == [0, 2, 3, 4, 6, 7, 8]
    for i, drawings in seen.items():
        assert len({part for _, part in drawings}) == 1
        assert len(drawings) == (1 if i == 0 else 2)
        code = hashlib.md5(made_up_emoji[i]["unified"].encode()).hexdigest()
        assert drawings[0][1] == ("train", "test")[int(code, 16) % 5 == 0]


def test_read_image_reads_the_sheet(made_up_emoji):
    files = module.fetch("npm", "emoji-datasource-google", "16.0.0", {})
    sheet = read_image(files["package/img/google/sheets/32.png"])
    assert sheet.shape == (102, 102, 3)
