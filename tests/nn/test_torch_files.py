"""Files of `torch.save`: made by PyTorch, or put together by hand, also hostile."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

import plait
from plait.errors import FileFormatError
from plait.nn import read_weights
from plait.nn.torch_files import LEGACY_MAGIC

# --- files put together by hand; these need no PyTorch


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"I%d\n" % value


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key="0", kind="FloatStorage", count=6, view=b""):
    kind = b"ctorch\n" + kind.encode() + b"\n"
    return (
        b"("
        + text("storage")
        + kind
        + text(key)
        + text("cpu")
        + number(count)
        + view
        + b"tQ"
    )


def tensor(stored=None, offset=0, shape=(2, 3), strides=(3, 1)):
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (storage() if stored is None else stored)
        + number(offset)
        + numbers(shape)
        + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def state_dict(**tensors):
    items = b"".join(text(name) + pickled for name, pickled in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


VALUES = np.arange(6, dtype=np.float32)


def zipped(pickled, data=None, compression=zipfile.ZIP_STORED, **more):
    buffer = io.BytesIO()
    data = {"0": VALUES.tobytes()} if data is None else data
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
        for key, content in data.items():
            archive.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


def legacy(pickled, keys=("0",), data=None, order="<"):
    parts = [LEGACY_MAGIC, 1001, {"little_endian": order == "<"}]
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    data = struct.pack(f"{order}q", 6) + VALUES.astype(f"{order}f4").tobytes() if (
        data is None
    ) else data  # fmt: skip
    return head + pickled + pickle.dumps(list(keys), 2) + data


@pytest.mark.parametrize("pack", [zipped, legacy])
def test_a_tensor_is_where_its_strides_say(pack):
    content = pack(
        state_dict(
            whole=tensor(),
            turned=tensor(shape=(3, 2), strides=(1, 3)),
            part=tensor(offset=2, shape=(3,), strides=(1,)),
            one=tensor(offset=5, shape=(), strides=()),
            none=tensor(shape=(0, 7), strides=(7, 1)),
            same=tensor(shape=(4, 2), strides=(0, 1)),
        )
    )
    got = read_weights(content)
    table = VALUES.reshape(2, 3)
    expected = {
        "whole": table,
        "turned": table.T,
        "part": VALUES[2:5],
        "one": VALUES[5],
        "none": np.zeros((0, 7), np.float32),
        "same": np.tile(VALUES[:2], (4, 1)),
    }
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].shape == array.shape
        assert got[name].dtype == np.float32


def test_most_significant_bytes_first():
    pickled = state_dict(a=tensor())
    big = {"0": VALUES.astype(">f4").tobytes()}
    for content in (zipped(pickled, big, byteorder=b"big"), legacy(pickled, order=">")):
        np.testing.assert_array_equal(read_weights(content)["a"].ravel(), VALUES)


def test_part_of_a_storage_in_an_old_file():
    view = b"(" + text("view") + number(4) + number(2) + b"t"
    pickled = state_dict(a=tensor(storage(view=view), shape=(2,), strides=(1,)))
    assert read_weights(legacy(pickled))["a"].tolist() == [4, 5]


@pytest.mark.parametrize("pack", [zipped, legacy])
@pytest.mark.parametrize(
    "hostile",
    [
        tensor(offset=1),
        tensor(offset=-1),
        tensor(shape=(2, 4)),
        tensor(shape=(2, -3)),
        tensor(strides=(3, -1)),
        tensor(strides=(3,)),
        tensor(shape=(1 << 62, 1 << 62), strides=(1, 1)),
        tensor(shape=(1 << 40,), strides=(0,)),
        tensor(shape=(1,) * 65, strides=(1,) * 65),
        tensor(shape=(0,), strides=(1,), offset=7),
        tensor(storage(count=1 << 62)),
        tensor(storage(count=-1)),
        tensor(storage(kind="ComplexFloatStorage")),
        tensor(storage(kind="QInt8Storage")),
        tensor(storage(key="none")),
        tensor(storage(key="../../secret")),
        tensor(number(3)),
        b"cos\nsystem\n(" + text("true") + b"tR",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch\nload\n)R",
    ],
)
def test_hostile_tensors(pack, hostile):
    with pytest.raises(FileFormatError):
        read_weights(pack(state_dict(a=hostile)))


def test_a_view_beyond_its_storage():
    for start, count in ((4, 3), (-1, 2), (1 << 62, 1)):
        view = b"(" + text("v") + number(start) + number(count) + b"t"
        pickled = state_dict(a=tensor(storage(view=view), shape=(1,), strides=(1,)))
        with pytest.raises(FileFormatError):
            read_weights(legacy(pickled))


def refused(content):
    with pytest.raises(FileFormatError) as error:
        read_weights(content)
    return error.value.message


def test_messages():
    assert refused(zipped(state_dict(a=tensor(shape=(2, 4))))) == (
        "[read_weights] <bytes>: a tensor reaches beyond its storage. Got: shape (2, "
        "4), "
        "strides (3, 1), from 0. Expected: at most 6 elements."
    )
    complex_ = state_dict(a=tensor(storage(kind="ComplexFloatStorage")))
    assert "elements of a type that plait does not have" in refused(zipped(complex_))
    module = b"\x80\x02cmy.code\nNet\n)R."
    assert "something made by 'my.code.Net'" in refused(zipped(module))
    packed = zipped(state_dict(a=tensor()), compression=zipfile.ZIP_DEFLATED)
    assert "compressed or too large" in refused(packed)
    assert "there are no arrays" in refused(zipped(b"\x80\x02}."))


def test_damaged_archives():
    good = zipped(state_dict(a=tensor()))
    for wrong in (good[:-30], good.replace(VALUES.tobytes(), VALUES.tobytes()[::-1])):
        assert wrong != good
        assert "damaged or cut off" in refused(wrong)
    good = legacy(state_dict(a=tensor()))
    for length in range(1, len(good)):
        refused(good[:length])


def test_many_tensors_of_one_storage_unfold_up_to_a_limit():
    many = {f"t{i}": tensor() for i in range(100)}
    content = zipped(state_dict(**many))
    assert len(read_weights(content)) == 100
    expanded = tensor(shape=(1 << 20, 6), strides=(0, 1))
    pickled = state_dict(a=expanded, b=expanded)
    with pytest.raises(FileFormatError, match="unfold to more than they may"):
        read_weights(zipped(pickled), limit=1 << 25)
    assert len(read_weights(zipped(pickled), limit=1 << 26)) == 2


def test_values_that_hold_themselves_or_each_other():
    itself = b"\x80\x02}q\x00" + text("a") + b"h\x00s."
    assert "nested without an end" in refused(zipped(itself))
    # Forty levels, each with the one below twice.
    twice = b"\x80\x02}q\x00" + b"".join(
        b"}(%sh%c%sh%cuq%c" % (text("a"), i, text("b"), i, i + 1) for i in range(40)
    )
    wrapped = twice.replace(b"}q\x00", b"(}q\x00", 1) + b"l."
    assert "nested without an end" in refused(zipped(wrapped))


# --- files made by PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def saved(request, torch):
    def save(value):
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=request.param)
        return buffer.getvalue()

    return save


def test_pytorch_saves_and_plait_reads(torch, saved):
    state = {
        "f4": torch.randn(3, 4),
        "turned": torch.randn(3, 4).t(),
        "f8": torch.randn(2, dtype=torch.float64),
        "f2": torch.randn(2, 2).half(),
        "bf16": torch.randn(5).bfloat16(),
        "i8": torch.arange(10)[3:7],
        "u1": torch.tensor([1, 2], dtype=torch.uint8),
        "u2": torch.tensor([1, 60000], dtype=torch.uint16),
        "mask": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "expanded": torch.ones(1).expand(7),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    got = read_weights(saved(state))
    assert list(got) == list(state)
    for name, expected in state.items():
        array = got[name]
        assert array.shape == tuple(expected.shape)
        assert str(array.dtype) == str(expected.dtype).removeprefix("torch.")
        assert array.flags.writeable
        np.testing.assert_array_equal(
            array.astype(np.float64), expected.detach().double().numpy()
        )


def test_checkpoints_are_flattened(torch, saved):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    content = saved(
        {
            "model": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": 3,
            "best": np.float64(0.5),
            "device": torch.device("cpu"),
            "shape": torch.Size([1, 2]),
        }
    )
    got = read_weights(content)
    assert "optimizer.state.0.exp_avg" in got
    assert not {"epoch", "best"} & set(got)
    layers = plait.nn.Sequential(plait.nn.Linear(3, 2), plait.nn.BatchNorm1d(2))
    layers.load_state_dict(read_weights(content, prefix="model."))
    np.testing.assert_array_equal(
        layers.state_dict()["0.weight"].numpy(), net[0].weight.detach().numpy()
    )


def test_whole_modules_are_refused(torch, saved):
    message = refused(saved(torch.nn.Linear(2, 2)))
    assert "something made by 'torch.nn.modules.linear.Linear'" in message
