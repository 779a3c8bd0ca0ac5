"""Weights in the files of other frameworks: each format, damaged, and hostile."""

import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest

import plait
from plait.errors import FileFormatError, MissingExtraError
from plait.nn import Linear, read_weights, save_weights

BFLOAT16 = plait.bfloat16.numpy
ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.array([1.5, -2], np.float64),
    "half": np.array([[0.5]], np.float16),
    "brain": np.array([1, 2, 3], BFLOAT16),
    "count": np.array(7, np.int64),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
}


def assert_equal(got, expected):
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        assert got[name].shape == array.shape, name
        assert got[name].tobytes() == array.tobytes(), name


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def refused(source, **options):
    with pytest.raises(FileFormatError) as error:
        read_weights(source, **options)
    return error.value.message


# --- what all formats have in common


def test_safetensors(tmp_path):
    save_weights(ARRAYS, tmp_path / "w.safetensors")
    in_order = dict(sorted(ARRAYS.items()))
    assert_equal(read_weights(tmp_path / "w.safetensors"), in_order)
    content = (tmp_path / "w.safetensors").read_bytes()
    assert_equal(read_weights(content), in_order)
    assert "no whole safetensors file" in refused(content[:-3])


def test_the_ending_does_not_matter(tmp_path):
    (tmp_path / "w.pt").write_bytes(npz(**ARRAYS))
    assert_equal(read_weights(tmp_path / "w.pt"), ARRAYS)


def test_a_module_takes_what_is_read(tmp_path):
    layer = Linear(3, 2)
    state = {f"model.{name}": t.numpy() for name, t in layer.state_dict().items()}
    other = Linear(3, 2)
    other.load_state_dict(read_weights(npz(**state, step=np.array(3)), prefix="model."))
    for name, tensor in other.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), layer.state_dict()[name].numpy())


def test_a_prefix_that_nothing_has():
    assert refused(npz(a=np.zeros(1), b=np.zeros(1)), prefix="c.") == (
        "[read_weights] <bytes>: there are no arrays of that name. Got: prefix 'c.'. "
        "Expected: a, b."
    )


@pytest.mark.parametrize("content", [b"", b"text", b"\x00" * 100, b"GIF89a", b"PK\x03"])
def test_other_files_are_named(tmp_path, content):
    path = tmp_path / "w"
    path.write_bytes(content)
    assert refused(path) == (
        f"[read_weights] {path} is no file of weights of a known kind. Got: first "
        f"bytes "
        f"{content[:9].hex(' ') or '(none)'}. Expected: safetensors, a file of "
        "torch.save, HDF5 or .npz."
    )


def test_a_folder_and_a_missing_file(tmp_path):
    assert "a folder" in refused(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "none")


# --- NumPy


def test_npz(tmp_path):
    assert_equal(read_weights(npz(**ARRAYS)), ARRAYS)
    buffer = io.BytesIO()
    fortran = np.asfortranarray(ARRAYS["a.weight"])
    np.savez_compressed(buffer, a=fortran, b=np.arange(3, dtype=">i2"))
    got = read_weights(buffer.getvalue())
    np.testing.assert_array_equal(got["a"], fortran)
    np.testing.assert_array_equal(got["b"], [0, 1, 2])
    assert got["b"].dtype.isnative
    got["a"][0, 0] = 9  # it can be written to


def zipped(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_faults_of_npz():
    good = npy(np.zeros((3, 4)))
    assert "has not the announced size" in refused(zipped({"a.npy": good + b"x"}))
    assert "has not the announced size" in refused(zipped({"a.npy": good[:-1]}))
    objects = npy(np.array([{}]), allow_pickle=True)
    assert refused(zipped({"a.npy": objects})) == (
        "[read_weights] <bytes>: 'a' holds no plain numbers. Got: object."
    )
    assert "damaged or cut off" in refused(zipped({"a.npy": b"no array"}))
    assert "damaged or cut off" in refused(zipped({"a.npy": good})[:-30])
    assert "without weights" in refused(zipped({"a.txt": b""}))


def test_an_array_that_announces_too_much_takes_no_memory():
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    assert (
        "expected: 8796093022208 bytes" in refused(zipped({"a.npy": content})).lower()
    )


def test_what_is_compressed_unfolds_up_to_a_limit():
    zeros = zipped({"a.npy": npy(np.zeros(100_000))}, zipfile.ZIP_DEFLATED)
    assert refused(zeros, limit=800_000) == (
        "[read_weights] <bytes>: 'a.npy' announces too much. Got: 800128 bytes. "
        "Expected: at most 800000 bytes. Fix: if the file can be trusted, raise "
        "`limit`."
    )
    assert read_weights(zeros, limit=800_128)["a"].shape == (100_000,)
    both = {"a.npy": npy(np.zeros(60)), "b.npy": npy(np.zeros(60))}
    assert "announces too much" in refused(
        zipped(both, zipfile.ZIP_DEFLATED), limit=1000
    )


# --- Keras


def hdf5(arrays, attributes=()):
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        for name, attribute, value in attributes:
            file[name].attrs[attribute] = value
    return buffer.getvalue()


def test_hdf5(tmp_path):
    arrays = {
        "conv/conv/bias:0": ARRAYS["a.bias"],
        "conv/conv/kernel:0": ARRAYS["a.weight"],
        "half": ARRAYS["half"],
        "mask": ARRAYS["mask"],
    }
    texts = {"names": np.array([b"a", b"b"])}
    content = hdf5(arrays | texts)
    assert_equal(read_weights(content), arrays)
    (tmp_path / "w.h5").write_bytes(content)
    assert_equal(read_weights(tmp_path / "w.h5", prefix="conv/"), {
        "conv/bias:0": ARRAYS["a.bias"], "conv/kernel:0": ARRAYS["a.weight"],
    })  # fmt: skip
    assert_equal(read_weights(zipped({"model.weights.h5": content})), arrays)


def test_bfloat16_of_keras():
    marked = [("a", "dtype", "bfloat16"), ("b", "dtype", "bfloat16")]
    values = np.array([1, 0.5], np.float32)
    content = hdf5({"a": values, "b": values.astype(BFLOAT16).view("V2")}, marked)
    expected = values.astype(BFLOAT16)
    assert_equal(read_weights(content), {"a": expected, "b": expected})


def test_faults_of_hdf5(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    content = hdf5({"a": np.zeros(5000)})
    for damaged in (content[:100], content[:2000], content[:-8000]):
        assert "damaged or cut off" in refused(damaged)
    # Nothing is stored of this one, and all of it would be zeros.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a", (1 << 40,), "f4", chunks=(1024,))
    assert "announces too much. Got: 4398046511104 bytes" in refused(buffer.getvalue())
    # Other files are not looked into.
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 64)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("a", (8,), "f8", external=[(str(secret), 0, 64)])
    assert "'a' is kept in another file" in refused(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a"] = np.zeros(1)
        file["b"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/a")
        file["group/up"] = file["/"]
    assert list(read_weights(tmp_path / "w.h5")) == ["a"]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r'pip install "plait\[hdf5\]"'):
        read_weights(content)


# --- pickles


class Runs:
    def __reduce__(self):
        return (print, ("ran",))


def test_pickles_are_not_run(capsys):
    assert "this pickle is not PyTorch's" in refused(pickle.dumps({"a": 1}))
    assert "holds more than plain values" in refused(pickle.dumps(Runs()))
    assert "holds more than plain values" in refused(
        zipped({"w/data.pkl": pickle.dumps(Runs())})
    )
    assert capsys.readouterr().out == ""
