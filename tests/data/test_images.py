"""Images: read, resized, written, and in folders."""

import hashlib
import io

import numpy as np
import pytest

from plait.data import (
    ImageFolder,
    Loader,
    as_floats,
    images,
    photograph,
    read_image,
    resize_image,
    write_image,
)
from plait.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    FileFormatError,
    MissingExtraError,
    ShapeError,
)

Image = pytest.importorskip("PIL.Image")


def picture(height=6, width=8, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(array, format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


# --- one image


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm"])
def test_what_is_written_is_read(tmp_path, name):
    write_image(tmp_path / name, picture())
    np.testing.assert_array_equal(read_image(tmp_path / name), picture())


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_lossy_formats_are_near(tmp_path, name):
    smooth = np.broadcast_to(np.arange(0, 240, 5, np.uint8)[:, None, None], (48, 40, 3))
    write_image(tmp_path / name, smooth)
    assert abs(read_image(tmp_path / name) - smooth.astype(int)).max() < 8


def test_floats_are_rounded_and_cut_off(tmp_path):
    write_image(tmp_path / "a.png", np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]]))
    read = read_image(tmp_path / "a.png", "L")
    np.testing.assert_array_equal(read, [[0, 0, 128, 255, 255, 0]])


def test_transparent_places_are_white():
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[0, 1] = 10, 20, 30, 255
    content = encoded(pixels)
    np.testing.assert_array_equal(read_image(content), [[[255] * 3, [10, 20, 30]]])
    np.testing.assert_array_equal(read_image(content, "RGBA"), pixels)
    assert read_image(content, "L").shape == (1, 2)


def test_photographs_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is on the right
    turned = read_image(encoded(picture(4, 10), exif=exif.tobytes()))
    np.testing.assert_array_equal(turned, np.rot90(picture(4, 10), -1))


def test_other_kinds_of_pixels():
    np.testing.assert_array_equal(
        read_image(encoded(picture(channels=0)))[..., 1], picture(channels=0)
    )
    fine = np.arange(0, 65536, 257, np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(
        read_image(encoded(fine), "L"), np.arange(256).reshape(16, 16)
    )
    palette = io.BytesIO()
    Image.fromarray(picture()).convert("P").save(palette, "GIF")
    assert read_image(palette.getvalue()).shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "UnidentifiedImageError"),
        (b"no image", "UnidentifiedImageError"),
        (encoded(picture(60, 80))[:-4000], "OSError"),
        (encoded(picture(60, 80), "JPEG")[:700], "OSError"),
        # Pillow would start another program for this one.
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "UnidentifiedImageError",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path, content, got):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        read_image(path)
    assert error.value.what == f"[read_image] {path}: damaged, cut off, or no image"
    assert error.value.got.startswith(got)


def test_a_large_image_is_refused_before_it_is_decoded():
    content = encoded(np.zeros((100, 100), np.uint8))
    with pytest.raises(FileFormatError) as error:
        read_image(content, limit=9999)
    assert error.value.message == (
        "[read_image] <bytes>: the image is too large. Got: 100 by 100 pixels. "
        "Expected: at most 9999 pixels. Fix: if the file can be trusted, raise `limit`."
    )
    assert read_image(content, limit=10000).shape == (100, 100, 3)


def test_without_pillow_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r'pip install "plait\[image\]"'):
        read_image(b"")


def test_wrong_arguments_of_images(tmp_path):
    with pytest.raises(ArgumentError, match="unknown mode"):
        read_image(b"", "CMYK")
    with pytest.raises(ArgumentError, match="the ending names no image format"):
        write_image(tmp_path / "a.eps", picture())
    with pytest.raises(DTypeError, match="no grey or colour values"):
        write_image(tmp_path / "a.png", picture().astype(np.int64))
    with pytest.raises(ShapeError, match="puts channels last"):
        write_image(tmp_path / "a.png", np.zeros((3, 8, 8)))
    with pytest.raises(ArgumentError, match="unknown way"):
        resize_image(picture(), 4, "squeeze")
    with pytest.raises(ArgumentError, match="at least 1"):
        resize_image(picture(), (4, 0))
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


# --- sizes


def test_resizing_keeps_what_each_way_promises():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255  # the square in the middle
    cropped = resize_image(wide, 5)
    assert cropped.shape == (5, 5, 3)
    assert cropped[:, 1:-1].min() == 255
    assert resize_image(wide, (4, 6), "stretch").shape == (4, 6, 3)
    assert resize_image(wide, 15, "fit").shape == (5, 15, 3)
    assert resize_image(wide[..., 0], 5).shape == (5, 5)
    np.testing.assert_array_equal(resize_image(wide, (10, 30)), wide)


@pytest.mark.parametrize("size", [1, 7, (3, 100), (100, 3)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (33, 7)])
def test_every_size_can_be_cropped(size, shape):
    wanted = (size, size) if isinstance(size, int) else size
    assert resize_image(picture(*shape), size).shape[:2] == wanted


def test_floats_for_networks():
    floats = as_floats(np.stack([picture(), picture(seed=1)]))
    assert floats.shape == (2, 3, 6, 8)
    assert floats.dtype == np.float32
    assert floats.flags.c_contiguous
    np.testing.assert_allclose(floats[1, 2], picture(seed=1)[..., 2] / 255, rtol=1e-6)


# --- folders


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pets"
    for i, name in enumerate(["dog/b.png", "cat/2.JPG", "cat/1.png", "cat/in/3.png"]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture(20, 30, seed=i))
    (root / "cat" / "notes.txt").write_text("no picture")
    (root / "cat" / ".hidden.png").write_text("no picture")
    (root / ".git").mkdir()
    (root / "empty").mkdir()
    return root


def test_a_folder_of_images(folder):
    data = ImageFolder(folder, (8, 10))
    assert data.classes == ["cat", "dog"]
    assert [path.name for path in data.paths] == ["1.png", "2.JPG", "3.png", "b.png"]
    assert data.labels.tolist() == [0, 0, 0, 1]
    image, label = data[3]
    np.testing.assert_array_equal(
        image, resize_image(read_image(folder / "dog" / "b.png"), (8, 10))
    )
    assert label == 1
    ((x, y),) = Loader(data.map(as_floats, key=0), 4)
    assert x.shape == (4, 3, 8, 10)
    assert y.numpy().tolist() == [0, 0, 0, 1]
    assert ImageFolder(folder, 8, mode="L")[0][0].shape == (8, 8)


def test_a_damaged_picture_is_named_or_skipped(folder):
    bad = folder / "cat" / "0.png"
    bad.write_bytes(b"no image")
    data = ImageFolder(folder, 8)
    assert len(data) == 5
    with pytest.raises(FileFormatError, match=r"0\.png: damaged, cut off, or no image"):
        data[0]
    data = ImageFolder(folder, 8, skip_damaged=True)
    assert len(data) == 4
    assert list(data.skipped) == [bad]
    assert "no image" in data.skipped[bad]
    assert [label for _, label in data] == [0, 0, 0, 1]


def test_folders_without_images_are_errors(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "none", 8)
    with pytest.raises(DataError, match=r"named after classes\. Got: .* Expected: "):
        ImageFolder(tmp_path, 8)
    with pytest.raises(ArgumentError, match="unknown way or mode"):
        ImageFolder(tmp_path, 8, how="fit")


# --- photographs


def test_a_photograph_is_fetched_by_its_checksum(monkeypatch):
    content = encoded(picture())
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(images._PHOTOGRAPHS, "coffee", ("a.png", digest))
    asked = []

    def fetch(*package_and_members):
        asked.append(package_and_members)
        return {"a.png": content}

    monkeypatch.setattr(images, "fetch", fetch)
    np.testing.assert_array_equal(photograph("coffee"), picture())
    assert asked == [("pypi", "scikit-image", "0.26.0", {"a.png": digest})]
    with pytest.raises(ArgumentError, match="no such picture"):
        photograph("lena")
