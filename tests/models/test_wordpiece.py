"""Pieces of words, and what a trained net makes of sentences."""

from functools import partial

import pytest

import plait
from plait import models
from plait.errors import ArgumentError, DataError

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##s", "un", "cafe", "!"]


def test_pieces_of_words(tmp_path):
    cut = models.WordPiece(PIECES)
    assert cut.encode("Playing PLAYS!") == [2, 4, 5, 4, 6, 9, 3]
    assert cut.encode("Café\tun\x00 done") == [2, 8, 7, 1, 3]
    assert cut.encode("play!" * 9, max_length=4) == [2, 4, 9, 3]
    assert cut.encode("") == [2, 3]
    numbers, there = cut.encode_all(["play", "plays !"])
    assert numbers.tolist() == [[2, 4, 3, 0, 0], [2, 4, 6, 9, 3]]
    assert there.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    assert models.WordPiece(tmp_path / "vocab.txt").pieces == PIECES
    with pytest.raises(ArgumentError) as error:
        models.WordPiece(["[PAD]"])
    assert error.value.message == "[WordPiece] a piece is missing. Expected: [UNK]."


TEXTS = (
    "Hello, world! It's 12.5 % more.",
    "naïve café — “quoted” …  tabs\tand\nlines",
    "antidisestablishmentarianism 東京 x" + "y" * 120,
    "a_b <tag> e-mail@host.org \u200b end",
)  # fmt: skip


def fetched(call):
    """Return what a call downloads, or skip the test."""
    try:
        return call()
    except DataError as error:
        pytest.skip(f"the package registry cannot be reached: {error}")


def test_pieces_are_those_of_tokenizers(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    own = fetched(models.WordPiece.uncased)
    (tmp_path / "vocab.txt").write_text("\n".join(own.pieces), encoding="utf-8")
    theirs = tokenizers.BertWordPieceTokenizer(str(tmp_path / "vocab.txt"))
    for text in TEXTS:
        assert own.encode(text) == theirs.encode(text).ids


def test_meanings_of_sentences():
    net = fetched(partial(models.all_minilm_l6_v2, "package")).eval()
    texts = [
        "A cat sits on the mat.", "A kitten is resting on a rug.",
        "The stock market fell sharply today.",
    ]  # fmt: skip
    numbers, there = models.WordPiece.uncased().encode_all(texts)
    states = net(numbers, there).last_hidden_state
    held = there.expand_dims(-1).to(states.dtype)
    means = plait.normalize((states * held).sum(1) / held.sum(1))
    likeness = (means @ means.mT).numpy()
    assert likeness[0, 1] > 0.5
    assert abs(likeness[:2, 2]).max() < 0.15
