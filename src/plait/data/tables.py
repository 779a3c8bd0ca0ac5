"""Texts with labels: out of CSV and JSON Lines files, and a set of them to start with.

Read first: `read_texts`, `movie_reviews`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, FileFormatError
from .dataset import as_dataset
from .packages import fetch

Labels = NDArray[np.int64]

_LIMIT = 1 << 30
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")

_REVIEWS_PACKAGE = ("pypi-sdist", "vaderSentiment", "0.5")
_REVIEWS_ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_REVIEWS_DIGEST = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
_REVIEWS_MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts with the class of each.

    Attributes:
        texts: as they were written.
        labels: indices into `classes`. int64, shape (n,).
        classes: the names of the classes.
    """

    texts: list[str] = field(repr=False)
    labels: Labels = field(repr=False)
    classes: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def split(self, test: float = 0.2, *, seed: int = 0) -> tuple[Texts, Texts]:
        """Return these texts in two parts, for training and for testing.

        Texts that are there twice are in the same part, or else a network could know
        test texts by heart.

        Args:
            test: how many of the different texts are for testing, as a fraction.
            seed: of the choice.

        Raises:
            ArgumentError: a part would have no text.
        """
        ranks: dict[str, int] = {}
        rank = np.array([ranks.setdefault(one, len(ranks)) for one in self.texts])
        parts = as_dataset(list(ranks)).split(
            {"train": 1 - test, "test": test}, seed=seed
        )
        chosen = np.isin(rank, parts.select("test").indices)
        train, tested = (
            Texts(
                [self.texts[i] for i in np.flatnonzero(part)],
                self.labels[part],
                self.classes,
            )
            for part in (~chosen, chosen)
        )
        return train, tested


@dataclass(frozen=True, eq=False)
class TextSplits:
    """Texts with the class of each, split for training and testing.

    Attributes:
        train: texts for training.
        test: other texts, of the same classes.
        description: what they are, and where they come from.
    """

    train: Texts = field(repr=False)
    test: Texts = field(repr=False)
    description: str


def read_texts(
    path: str | os.PathLike[str],
    text: str = "text",
    label: str = "label",
    *,
    classes: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    limit: int = _LIMIT,
) -> Texts:
    """Read texts and their labels from a table: CSV, TSV or JSON Lines, in UTF-8.

    The ending says what it is: .csv, .tsv, .jsonl or .ndjson, each also compressed with
    gzip, as in .csv.gz. Tables begin with a line of column names; in JSON Lines, each
    line is an object. Empty lines are skipped.

    Args:
        path: the file.
        text: the column, or the key, of the texts.
        label: the column, or the key, of the labels: texts, integers or bools.
        classes: the labels that there may be; label i is classes[i]. Default: those
            that occur, as numbers if they all are integers, else as texts, in order.
        names: label in the file -> name of the class, such as {"0": "bad"}. Labels not
            in it are names themselves. `classes` are of these names.
        limit: the largest number of bytes in the file, uncompressed.

    Raises:
        FileFormatError: the file is damaged or too large, lacks a column, or a line has
            no text or no label, or one that is not in `classes`; the line is named.
        ArgumentError: another ending.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in _DELIMITERS and suffix not in _JSON_LINES:
        raise ArgumentError(
            "[read_texts] the ending says not what kind of table it is",
            got=repr(path.name),
            expected=", ".join((*_DELIMITERS, *_JSON_LINES)),
        )
    content = _decoded(path, _content(path, limit))
    if suffix in _DELIMITERS:
        rows = _table_rows(path, content, _DELIMITERS[suffix], (text, label))
    else:
        rows = _json_rows(path, content, (text, label))
    texts, spelled, lines = [], [], []
    for line, one, name in rows:
        texts.append(one)
        spelled.append(name if names is None else names.get(name, name))
        lines.append(line)
    if not texts:
        raise FileFormatError(f"[read_texts] {path}: there is no row")
    order = _in_order(set(spelled)) if classes is None else list(classes)
    numbers = {name: i for i, name in enumerate(order)}
    for line, name in zip(lines, spelled, strict=True):
        if name not in numbers:
            raise FileFormatError(
                f"[read_texts] {path}, line {line}: an unknown label",
                got=repr(name[:80]),
                expected=", ".join(map(repr, order[:20])),
            )
    labels = np.array([numbers[name] for name in spelled], np.int64)
    return Texts(texts, labels, order)


def _content(path: Path, limit: int) -> bytes:
    with open(path, "rb") as stream:
        if path.suffix != ".gz":
            content = stream.read(limit + 1)
        else:
            try:
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    content = unpacked.read(limit + 1)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise FileFormatError(
                    f"[read_texts] {path}: the gzip compression is damaged or cut off",
                    got=str(error),
                ) from error
    if len(content) > limit:
        raise FileFormatError(
            f"[read_texts] {path}: the file is too large",
            expected=f"at most {limit} bytes",
            fix="if the file can be trusted, raise `limit`",
        )
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"[read_texts] {path}, line {line}: the text is not UTF-8",
            got=str(error.reason),
            fix=f"iconv -f latin1 -t utf-8 {path.name}, if it is Latin-1",
        ) from None


Rows = Iterator[tuple[int, str, str]]


def _table_rows(
    path: Path, content: str, delimiter: str, keys: tuple[str, str]
) -> Rows:
    reader = csv.reader(io.StringIO(content, ""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    columns: list[int] = []
    line = 1
    try:
        for row in reader:
            if not row:
                pass
            elif header is None:
                header = row
                for key in keys:
                    if row.count(key) != 1:
                        raise FileFormatError(
                            f"[read_texts] {path}: there is no such column, or two",
                            got=repr(key),
                            expected=", ".join(repr(name[:80]) for name in row[:20]),
                        )
                columns = [row.index(key) for key in keys]
            elif len(row) != len(header):
                raise FileFormatError(
                    f"[read_texts] {path}, line {line}: not as many fields as columns",
                    got=str(len(row)),
                    expected=str(len(header)),
                    fix="put fields with commas or line ends in quotation marks",
                )
            else:
                text, label = (row[column] for column in columns)
                yield line, text, _label(path, line, label.strip())
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileFormatError(
            f"[read_texts] {path}, line {line}: the row is malformed", got=str(error)
        ) from None


def _json_rows(path: Path, content: str, keys: tuple[str, str]) -> Rows:
    # Not splitlines, which also splits at signs that a JSON text may hold.
    for line, row in enumerate(content.split("\n"), 1):
        if not row.strip():
            continue
        try:
            value = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise FileFormatError(
                f"[read_texts] {path}, line {line}: this is no JSON", got=str(error)
            ) from None
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise FileFormatError(
                    f"[read_texts] {path}, line {line}: the object has no such key",
                    got=repr(key),
                    expected=", ".join(repr(k[:80]) for k in list(value)[:20])
                    if isinstance(value, dict)
                    else f"an object, not a {type(value).__name__}",
                )
        text, label = value[keys[0]], value[keys[1]]
        if not isinstance(text, str):
            raise FileFormatError(
                f"[read_texts] {path}, line {line}: {keys[0]!r} is no text",
                got=f"a {type(text).__name__}",
            )
        if isinstance(label, (bool, int)):
            label = json.dumps(label)
        if not isinstance(label, str):
            raise FileFormatError(
                f"[read_texts] {path}, line {line}: {keys[1]!r} is no label",
                got=f"a {type(label).__name__}",
                expected="a text, an integer or a bool",
            )
        yield line, text, _label(path, line, label)


def _label(path: Path, line: int, label: str) -> str:
    if not label:
        raise FileFormatError(f"[read_texts] {path}, line {line}: the label is empty")
    return label


def _in_order(names: set[str]) -> list[str]:
    def number(name: str) -> Any:
        return int(name) if len(name) < 20 else name

    try:
        return sorted(names, key=number)
    except (ValueError, TypeError):
        return sorted(names)


def movie_reviews() -> TextSplits:
    """Load sentences of movie reviews, each for or against, downloading if need be.

    10,568 sentences of reviews, each rated by twenty people; a mean above 0 is
    "positive", one below it "negative". The 37 of mean 0 are left out. Every fifth
    sentence or so, by a hash of its text, is for testing. Linear models of word counts
    get about 79 % right.

    They come with the PyPI package `vaderSentiment` 0.5 (MIT).

    Raises:
        DataError: the package cannot be downloaded.

    Source: C. Hutto, E. Gilbert, "VADER: a parsimonious rule-based model for sentiment
    analysis of social media text", ICWSM 2014, who rated sentences collected by B. Pang
    and L. Lee, "Seeing stars", ACL 2005.
    """
    files = fetch(*_REVIEWS_PACKAGE, {_REVIEWS_ARCHIVE: _REVIEWS_DIGEST})
    with tarfile.open(fileobj=io.BytesIO(files[_REVIEWS_ARCHIVE])) as archive:
        stream = archive.extractfile(_REVIEWS_MEMBER)
        assert stream is not None  # the checksum says so
        lines = stream.read().decode("utf-8").split("\n")
    texts: dict[bool, list[str]] = {False: [], True: []}
    labels: dict[bool, list[int]] = {False: [], True: []}
    for line in lines:
        fields = line.split("\t")
        if len(fields) != 3 or float(fields[1]) == 0:
            continue
        text = fields[2].strip()
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        is_test = int(digest, 16) % 5 == 0
        texts[is_test].append(text)
        labels[is_test].append(int(float(fields[1]) > 0))
    train, test = (
        Texts(texts[part], np.array(labels[part], np.int64), ["negative", "positive"])
        for part in (False, True)
    )
    package = f"{_REVIEWS_PACKAGE[1]} {_REVIEWS_PACKAGE[2]} (pypi)"
    return TextSplits(train, test, f"sentences of movie reviews, from {package}")
