"""Tables of texts with labels, and the movie reviews from a made-up package."""

import contextlib
import gzip
import hashlib
import io
import json
import sys
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.data import movie_reviews, read_texts
from plait.errors import ArgumentError, FileFormatError

module = sys.modules["plait.data.tables"]

CSV = 'id,text,label\n1,"good, really",pos\n\n2,"two\nlines ""so""",neg\n3,ünd,pos\n'
JSON_LINES = "\n".join(
    json.dumps(row)
    for row in (
        {"text": "good, really", "label": "pos"},
        {"text": 'two\nlines "so"', "label": "neg"},
        {"text": "ünd", "label": "pos", "more": [1]},
    )
)


def written(tmp_path, name, content):
    path = tmp_path / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.CSV", CSV),
        ("a.csv.gz", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n").replace("two\r\n", "two\n")),
        ("a.tsv", CSV.replace("1,", "1\t").replace("2,", "2\t").replace("3,", "3\t")
                     .replace(",label", "\tlabel").replace("id,", "id\t")
                     .replace('",', '"\t').replace("ünd,", "ünd\t")),
        ("a.jsonl", JSON_LINES),
        ("a.ndjson", JSON_LINES.replace("\n", "\r\n\n") + "\n"),
        ("a.jsonl.gz", JSON_LINES),
    ],
)  # fmt: skip
def test_every_kind_of_table(tmp_path, name, content):
    texts = read_texts(written(tmp_path, name, content))
    assert texts.texts == ["good, really", 'two\nlines "so"', "ünd"]
    assert texts.labels.tolist() == [1, 0, 1]
    assert texts.labels.dtype == np.int64
    assert texts.classes == ["neg", "pos"]
    assert len(texts) == 3


def test_columns_and_labels_are_chosen(tmp_path):
    path = written(tmp_path, "a.csv", "stars,review\n10,x\n2,y\n 2,z\n")
    texts = read_texts(path, "review", "stars")
    assert (texts.classes, texts.labels.tolist()) == (["2", "10"], [1, 0, 0])
    texts = read_texts(path, "review", "stars", names={"10": "good", "2": "bad"})
    assert (texts.classes, texts.labels.tolist()) == (["bad", "good"], [1, 0, 0])
    texts = read_texts(path, "review", "stars", classes=["10", "1", "2"])
    assert (texts.classes, texts.labels.tolist()) == (["10", "1", "2"], [0, 2, 2])


def test_labels_of_json(tmp_path):
    rows = '{"text": "a", "label": true}\n{"text": "b", "label": false}'
    assert read_texts(written(tmp_path, "a.jsonl", rows)).classes == ["false", "true"]
    rows = '{"text": "a", "label": 10}\n{"text": "b", "label": 9}'
    assert read_texts(written(tmp_path, "b.jsonl", rows)).classes == ["9", "10"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text\nx\n", ": there is no such column, or two. Got: 'label'. "
         "Expected: 'text'."),
        ("a.csv", "text,label,text\nx,1,y\n", ": there is no such column, or two. Got: "
         "'text'. Expected: 'text', 'label', 'text'."),
        ("a.csv", "text,label\na,1\n\"b\nb\",2\na,b,3\n", ", line 5: not as many "
         "fields "
         "as columns. Got: 3. Expected: 2. Fix: put fields with commas or line ends in "
         "quotation marks."),
        ("a.csv", "text,label\na,1\nb,\n", ", line 3: the label is empty."),
        ("a.csv", 'text,label\na,1\n"b,2\n', ", line 3: the row is malformed. Got: "
         "unexpected end of data."),
        ("a.csv", b"text,label\na,1\n\xff,2\n", ", line 3: the text is not UTF-8. Got: "
         "invalid start byte. Fix: iconv -f latin1 -t utf-8 a.csv, if it is Latin-1."),
        ("a.csv", "text,label\n", ": there is no row."),
        ("a.csv", "", ": there is no row."),
        ("a.jsonl", '{"text": "a", "label": 1}\n{', ", line 2: this is no JSON. Got: "
         "Expecting property name enclosed in double quotes: line 1 column 2 (char "
         "1)."),
        ("a.jsonl", "[1]", ", line 1: the object has no such key. Got: 'text'. "
         "Expected: "
         "an object, not a list."),
        ("a.jsonl", '{"text": "a"}', ", line 1: the object has no such key. Got: "
         "'label'. Expected: 'text'."),
        ("a.jsonl", '{"text": null, "label": 1}', ", line 1: 'text' is no text. Got: a "
         "NoneType."),
        ("a.jsonl", '{"text": "a", "label": 1.5}', ", line 1: 'label' is no label. "
         "Got: "
         "a float. Expected: a text, an integer or a bool."),
    ],
)  # fmt: skip
def test_faults_name_the_line(tmp_path, name, content, message):
    path = written(tmp_path, name, content)
    with pytest.raises(FileFormatError) as error:
        read_texts(path)
    assert error.value.message == f"[read_texts] {path}{message}"


def test_deep_nesting_is_no_crash(tmp_path):
    path = written(tmp_path, "a.jsonl", "[" * 200_000)
    with pytest.raises(FileFormatError, match="this is no JSON"):
        read_texts(path)


def test_unknown_labels_name_the_line(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\na,1\n\nb,3\n")
    with pytest.raises(FileFormatError) as error:
        read_texts(path, classes=["1", "2"])
    assert error.value.message == (
        f"[read_texts] {path}, line 4: an unknown label. Got: '3'. Expected: '1', '2'."
    )


def test_files_are_bounded(tmp_path):
    for name in ("a.csv", "a.csv.gz"):
        path = written(tmp_path, name, CSV + "x" * 100_000)
        with pytest.raises(FileFormatError, match="the file is too large"):
            read_texts(path, limit=99_999)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="gzip compression is damaged"):
        read_texts(path)


def test_endings_and_missing_files(tmp_path):
    with pytest.raises(ArgumentError, match="the ending says not"):
        read_texts(tmp_path / "a.xlsx")
    with pytest.raises(FileNotFoundError):
        read_texts(tmp_path / "a.csv")


@given(st.text())
def test_any_text_is_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("tables")
    for name in ("a.csv", "a.jsonl"):
        path = written(folder, name, content.encode("utf-8", "replace"))
        with contextlib.suppress(FileFormatError):
            read_texts(path)


def test_texts_are_split_with_their_doubles(tmp_path):
    rows = "".join(f"text {i % 40},{i % 2}\n" for i in range(80))
    texts = read_texts(written(tmp_path, "a.csv", "text,label\n" + rows))
    train, test = texts.split(0.25, seed=3)
    assert (len(train), len(test)) == (60, 20)
    assert not set(train.texts) & set(test.texts)
    for part in (train, test):
        assert part.classes == ["0", "1"]
        numbers = [int(text.removeprefix("text ")) for text in part.texts]
        assert part.labels.tolist() == [number % 2 for number in numbers]
    assert texts.split(0.25, seed=3)[1].texts == test.texts
    assert texts.split(0.25, seed=4)[1].texts != test.texts
    for fraction in (0.0, 1.0, 0.001):
        with pytest.raises(ArgumentError):
            texts.split(fraction)


# --- movie reviews


def test_movie_reviews(monkeypatch):
    rows = [(i, f"{(i % 5 - 2) / 2}", f"sentence {i} ") for i in range(100)]
    table = "\n".join("\t".join(map(str, row)) for row in rows).encode() + b"\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo(module._REVIEWS_MEMBER)
        info.size = len(table)
        archive.addfile(info, io.BytesIO(table))

    def fetch(*package):
        assert package[:3] == ("pypi-sdist", "vaderSentiment", "0.5")
        return dict.fromkeys(package[3], packed.getvalue())

    monkeypatch.setattr(module, "fetch", fetch)
    data = movie_reviews()
    assert "sentences of movie reviews" in data.description
    rated = [row for row in rows if float(row[1])]
    assert len(data.train) + len(data.test) == len(rated) == 80
    for part, is_test in ((data.train, False), (data.test, True)):
        assert part.classes == ["negative", "positive"]
        for text, label in zip(part.texts, part.labels, strict=True):
            i = int(text.removeprefix("sentence "))
            assert label == (float(rows[i][1]) > 0)
            digest = hashlib.md5(text.encode()).hexdigest()
            assert (int(digest, 16) % 5 == 0) == is_test
