"""Tokens, vocabularies, equal lengths and windows."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait.data import Loader, Vocabulary, Windows, padded, split_text, tokenize
from plait.errors import ArgumentError, ArgumentTypeError, FileFormatError, ShapeError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It isn't bad!", ["it", "is", "n't", "bad", "!"]),
        ("They\u2019ve won\u2019t", ["they", "'ve", "wo", "n't"]),
        ("John's 'quoted' text", ["john", "'s", "'", "quoted", "'", "text"]),
        ("state-of-the-art 2nd_try", ["state", "-", "of", "-", "the", "-", "art", "2nd",
                                      "_", "try"]),
        ("Don'tcha o'clock", ["don", "'", "tcha", "o", "'", "clock"]),
        ("wait...", ["wait", ".", ".", "."]),
        ("GRÜSSE\n\tÉté", ["grüsse", "été"]),
        ("n't", ["n't"]),
        ("  ", []),
        ("", []),
    ],
)  # fmt: skip
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_tokens_hold_every_sign(text):
    joined = "".join(tokenize(text))
    assert joined == "".join(text.lower().replace("\u2019", "'").split())


def test_a_long_word_takes_no_time():
    assert tokenize("a" * 300_000 + "n't") == ["a" * 300_000, "n't"]


# --- vocabularies

TEXTS = [["b", "a", "c"], ["a", "b"], ["a", "d"]]


def test_the_most_frequent_tokens_come_first():
    vocabulary = Vocabulary.of(TEXTS)
    assert vocabulary.tokens == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert (vocabulary.padding, vocabulary.unknown) == (0, 1)
    assert len(vocabulary) == 6
    assert "a" in vocabulary
    assert "z" not in vocabulary
    assert Vocabulary.of(TEXTS, min_count=2).tokens[2:] == ["a", "b"]
    assert Vocabulary.of(TEXTS, max_size=3).tokens == ["<pad>", "<unk>", "a"]
    bare = Vocabulary.of(TEXTS, padding=None, unknown=None)
    assert bare.tokens == ["a", "b", "c", "d"]
    assert (bare.padding, bare.unknown) == (None, None)
    assert Vocabulary.of([["<unk>", "<pad>"]]).tokens == ["<pad>", "<unk>"]


def test_encoding_and_decoding():
    vocabulary = Vocabulary.of(TEXTS)
    ids = vocabulary.encode(["d", "nowhere", "a"])
    assert ids.tolist() == [5, 1, 2]
    assert ids.dtype == np.int64
    assert vocabulary.decode(ids) == ["d", "<unk>", "a"]
    assert vocabulary.decode(plait.asarray([2, 3])) == ["a", "b"]
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.decode([]) == []
    assert vocabulary.encode(iter(["a"])).tolist() == [2]


@given(st.text(min_size=1))
def test_characters(text):
    vocabulary = Vocabulary.of([text], padding=None, unknown=None)
    ids = vocabulary.encode(text)
    assert ids.tolist() == vocabulary.encode(list(text)).tolist()
    assert "".join(vocabulary.decode(ids)) == text
    assert vocabulary.encode("").shape == (0,)


def test_wrong_tokens_and_numbers():
    bare = Vocabulary(["a", "b"], padding=None, unknown=None)
    for tokens in (["a", "z"], "az"):
        with pytest.raises(ArgumentError) as error:
            bare.encode(tokens)
        assert error.value.message == (
            "[Vocabulary.encode] a token is not in the vocabulary. Got: 'z'. Fix: make "
            "the vocabulary with an `unknown` token."
        )
    for ids in ([2], [-1]):
        with pytest.raises(ArgumentError, match="no token of that number"):
            bare.decode(ids)
    with pytest.raises(ArgumentTypeError, match="are integers"):
        bare.decode([0.5])
    with pytest.raises(ArgumentError, match=r"there twice\. Got: 'a'"):
        Vocabulary(["b", "a", "a"])
    with pytest.raises(ArgumentTypeError, match="a token is no text"):
        Vocabulary(["a", 3])
    with pytest.raises(ArgumentError, match="there is no token"):
        Vocabulary([], padding=None, unknown=None)
    with pytest.raises(ArgumentError, match="no room"):
        Vocabulary.of(TEXTS, max_size=1)


@pytest.mark.parametrize("padding", [None, "<pad>"])
@pytest.mark.parametrize("unknown", [None, "?"])
def test_what_is_saved_is_loaded(tmp_path, padding, unknown):
    vocabulary = Vocabulary(["ü", "\n", "\ud800"], padding=padding, unknown=unknown)
    vocabulary.save(tmp_path / "v.json")
    loaded = Vocabulary.load(tmp_path / "v.json")
    assert loaded == vocabulary
    assert loaded.tokens == vocabulary.tokens
    assert (loaded.padding, loaded.unknown) == (vocabulary.padding, vocabulary.unknown)


GOOD = {
    "format": "plait vocabulary 1",
    "padding": "<pad>",
    "unknown": None,
    "tokens": ["<pad>", "a"],
}


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "3", "[" * 100_000,
        json.dumps(GOOD | {"format": "other"}),
        json.dumps(GOOD | {"tokens": ["a"]}),
        json.dumps(GOOD | {"tokens": ["<pad>", "a", "a"]}),
        json.dumps(GOOD | {"tokens": ["<pad>", 3]}),
        json.dumps(GOOD | {"tokens": 7}),
        json.dumps({"format": "plait vocabulary 1"}),
    ],
)  # fmt: skip
def test_damaged_vocabularies(tmp_path, content):
    path = tmp_path / "v.json"
    path.write_text(json.dumps(GOOD))
    assert Vocabulary.load(path).tokens == ["<pad>", "a"]
    path.write_text(content)
    with pytest.raises(FileFormatError, match=r"v\.json is no vocabulary of plait's"):
        Vocabulary.load(path)


# --- lengths and pieces


def test_equal_lengths():
    rows = padded([[1, 2, 3, 4], np.array([5]), []], 3)
    assert rows.tolist() == [[1, 2, 3], [5, 0, 0], [0, 0, 0]]
    assert rows.dtype == np.int64
    assert padded([[1, 2, 3, 4], [5]], 3, 9, "left").tolist() == [[1, 2, 3], [9, 9, 5]]
    assert padded([], 3).shape == (0, 3)
    with pytest.raises(ArgumentError):
        padded([[1]], 0)
    with pytest.raises(ArgumentError):
        padded([[1]], 2, side="middle")


def test_a_text_is_cut_into_parts_that_follow_one_another():
    parts = split_text("abcdefghij", {"train": 0.7, "valid": 0.2, "test": 0.1})
    assert parts == {"train": "abcdefg", "valid": "hi", "test": "j"}
    assert split_text("abcd", {"a": 0.5}) == {"a": "ab"}
    for wrong in ({}, {"a": 0.0}, {"a": 0.9, "b": 0.2}):
        with pytest.raises(ArgumentError, match="fractions"):
            split_text("abcd", wrong)
    with pytest.raises(ArgumentError, match=r"a part has no character\. Got: 'b'"):
        split_text("abcd", {"a": 0.9, "b": 0.1})


def test_windows():
    data = Windows(np.arange(10), 3)
    assert len(data) == 7
    x, y = data[6]
    assert (x.tolist(), y.tolist()) == ([6, 7, 8], [7, 8, 9])
    x, y = data[[0, 6]]
    assert x.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert y.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert [x.tolist() for x, _ in Windows(np.arange(10), 3, 3)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    assert len(Windows(np.arange(9), 3, 3)) == 2
    for wrong in (np.arange(3), np.zeros((9, 9))):
        with pytest.raises(ShapeError, match="gives no piece"):
            Windows(wrong, 3)
    with pytest.raises(ArgumentError):
        Windows(np.arange(9), 3, 0)


def test_random_windows_differ_from_epoch_to_epoch():
    loader = Loader(Windows(np.arange(1000), 5).sample(64, seed=3), 32)
    first, second = ([x.numpy() for x, _ in loader] for _ in range(2))
    assert [x.shape for x in first] == [(32, 5), (32, 5)]
    assert not np.array_equal(first, second)
