"""Texts as numbers: words or characters, their vocabulary, and equal lengths.

    tokenize("It isn't bad!")        ['it', 'is', "n't", 'bad', '!']
    vocabulary.encode(tokens)        [4, 9, 17, 2, 5]
    padded(sequences, 8)             [[4, 9, 17, 2, 5, 0, 0, 0], ...]

Of a text taken as a sequence of characters, a text is its own list of tokens.

Read first: `tokenize`, `Vocabulary`, `Windows`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ArgumentTypeError, FileFormatError, ShapeError
from .dataset import Dataset, Indices

Ids = NDArray[np.int64]

_FORMAT = "plait vocabulary 1"
_LARGEST_FILE = 1 << 28
_TOKEN = re.compile(
    r"""
    [^\W_]+? (?= n't (?!\w) )          # is, of isn't
    | n't (?!\w)
    | ' (?: s|m|d|re|ve|ll ) (?!\w)
    | [^\W_]+                          # letters and digits
    | [^\s]                            # any other sign, alone
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """Return the words and signs of a text, in lower case.

    A word is a run of letters and digits. Of contractions, the parts are words of their
    own: "isn't" is "is" and "n't", "they've" is "they" and "'ve", as in the Penn
    Treebank and the word vectors made in its manner. Every other sign that is no space
    is a token, and a curled apostrophe is a straight one.

    Example:
        >>> tokenize("It isn't bad!")
        ['it', 'is', "n't", 'bad', '!']
    """
    return _TOKEN.findall(text.lower().replace("\u2019", "'"))


class Vocabulary:
    """Tokens by number and numbers by token.

    Args:
        tokens: the tokens, other than the two that follow; number i is the i-th after
            those.
        padding: a token that fills up, at number 0; None: there is none.
        unknown: a token in place of those not in the vocabulary, next to it; None:
            there is none, and they are errors.

    Attributes:
        tokens: all tokens; token i is tokens[i].
        padding: the number of the padding token, or None.
        unknown: the number of the unknown token, or None.

    Raises:
        ArgumentError: a token is there twice, or there is none.
        ArgumentTypeError: a token is no text.

    Example:
        >>> vocabulary = Vocabulary.of([["b", "a"], ["a", "c"]], padding=None)
        >>> vocabulary.tokens
        ['<unk>', 'a', 'b', 'c']
        >>> vocabulary.encode(["c", "z"])
        array([3, 0])
    """

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        padding: str | None = "<pad>",
        unknown: str | None = "<unk>",
    ) -> None:
        special = [token for token in (padding, unknown) if token is not None]
        self.tokens = [*special, *tokens]
        for token in self.tokens:
            if not isinstance(token, str):
                raise ArgumentTypeError(
                    "[Vocabulary] a token is no text", got=f"a {type(token).__name__}"
                )
        if not self.tokens:
            raise ArgumentError("[Vocabulary] there is no token")
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise ArgumentError("[Vocabulary] a token is there twice", got=repr(twice))
        self.padding = None if padding is None else 0
        self.unknown = None if unknown is None else self._ids[unknown]

    @classmethod
    def of(
        cls,
        texts: Iterable[Iterable[str]],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        padding: str | None = "<pad>",
        unknown: str | None = "<unk>",
    ) -> Vocabulary:
        """Return the vocabulary of texts, the most frequent tokens first.

        Tokens that are equally frequent come in the order of their characters.

        Args:
            texts: the tokens of each text; for characters, the texts themselves.
            min_count: how often a token must occur to be taken.
            max_size: how many tokens to take at most, with padding and unknown.
            padding: see `Vocabulary`.
            unknown: see `Vocabulary`.
        """
        counts: Counter[str] = Counter()
        for tokens in texts:
            counts.update(tokens)
        return cls.of_counts(
            counts, min_count=min_count, max_size=max_size, padding=padding,
            unknown=unknown,
        )  # fmt: skip

    @classmethod
    def of_counts(
        cls,
        counts: Mapping[str, int],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        padding: str | None = "<pad>",
        unknown: str | None = "<unk>",
    ) -> Vocabulary:
        """Return the vocabulary of tokens that were counted; see `of`.

        Args:
            counts: token -> how often it occurs.
            min_count, max_size, padding, unknown: see `of`.
        """
        special = (padding, unknown)
        kept = [
            token for token, count in counts.items()
            if count >= min_count and token not in special
        ]  # fmt: skip
        kept.sort(key=lambda token: (-counts[token], token))
        if max_size is not None:
            room = max_size - (padding is not None) - (unknown is not None)
            if room < 0:
                raise ArgumentError(
                    "[Vocabulary.of] max_size leaves no room for padding and unknown",
                    got=str(max_size),
                )
            kept = kept[:room]
        return cls(kept, padding=padding, unknown=unknown)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash(tuple(self.tokens))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)}>"

    def encode(self, tokens: Iterable[str]) -> Ids:
        """Return the numbers of tokens; of a text, those of its characters.

        Returns:
            int64, shape (number of tokens,).

        Raises:
            ArgumentError: a token is not in the vocabulary, which has no unknown token.
        """
        if isinstance(tokens, str):
            return self._encode_characters(tokens)
        get = self._ids.get
        fallback = -1 if self.unknown is None else self.unknown
        listed = list(tokens)
        ids = np.array([get(token, fallback) for token in listed], np.int64)
        if self.unknown is None and ids.size and ids.min() < 0:
            raise _not_in(listed[int(np.argmin(ids))])
        return ids

    def _encode_characters(self, text: str) -> Ids:
        # One look-up for each character that there is, not for each in the text.
        codes = np.frombuffer(
            text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4")
        )
        if not codes.size:
            return np.empty(0, np.int64)
        present = np.flatnonzero(np.bincount(codes))
        table = np.zeros(int(codes.max()) + 1, np.int64)
        table[present] = self.encode([chr(code) for code in present])
        return table[codes]

    def decode(self, ids: Any) -> list[str]:
        """Return the tokens of numbers; `"".join` or `" ".join` makes a text of them.

        Args:
            ids: integers, in an array, a tensor or a list.

        Raises:
            ArgumentError: a number is that of no token.
        """
        array = np.asarray(ids if not hasattr(ids, "numpy") else ids.numpy()).ravel()
        if array.size and array.dtype.kind not in "iu":
            raise ArgumentTypeError(
                "[Vocabulary.decode] numbers of tokens are integers",
                got=str(array.dtype),
            )
        if array.size and not 0 <= array.min() <= array.max() < len(self):
            wrong = array[(array < 0) | (array >= len(self))][0]
            raise ArgumentError(
                "[Vocabulary.decode] there is no token of that number",
                got=str(wrong),
                expected=f"0 to {len(self) - 1}",
            )
        return [self.tokens[i] for i in array.tolist()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file; `Vocabulary.load` reads it."""
        Path(path).write_text(json.dumps(self._state(), ensure_ascii=True), "utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Return the vocabulary in a file that `save` has written.

        Raises:
            FileFormatError: it is damaged, or is no such file.
            OSError: it cannot be opened.
        """
        with open(path, "rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        try:
            if len(content) > _LARGEST_FILE:
                raise ValueError(f"more than {_LARGEST_FILE} bytes")
            state = json.loads(content)
            if state["format"] != _FORMAT:
                raise ValueError("another format")
            special = [state[key] for key in ("padding", "unknown")]
            tokens = state["tokens"]
            count = sum(token is not None for token in special)
            if tokens[:count] != [token for token in special if token is not None]:
                raise ValueError("padding and unknown are not the first tokens")
            return cls(tokens[count:], padding=special[0], unknown=special[1])
        except (
            ValueError, KeyError, TypeError, RecursionError, ArgumentTypeError,
        ) as error:  # fmt: skip
            raise FileFormatError(
                f"[Vocabulary.load] {os.fspath(path)} is no vocabulary of plait's",
                got=str(getattr(error, "message", error))[:200],
            ) from None

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        padding: str | None = "<pad>",
        unknown: str | None = "<unk>",
    ) -> Vocabulary:
        """Return the vocabulary in a text file that holds a token on each line.

        Lines that are `padding` or `unknown` themselves are left out: those tokens come
        first anyway. So are empty ones.

        Args:
            path: a file in UTF-8.
            padding, unknown: see `Vocabulary`.

        Raises:
            FileFormatError: it is no such text, or a token is there twice.
            OSError: it cannot be opened.
        """
        with open(path, "rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        try:
            if len(content) > _LARGEST_FILE:
                raise ValueError(f"more than {_LARGEST_FILE} bytes")
            text = content.decode("utf-8-sig")
            lines = [line.removesuffix("\r") for line in text.split("\n")]
            special = ("", padding, unknown)
            tokens = [line for line in lines if line not in special]
            return cls(tokens, padding=padding, unknown=unknown)
        except (ValueError, ArgumentError) as error:
            raise FileFormatError(
                f"[Vocabulary.read] {os.fspath(path)} is no list of tokens",
                got=str(getattr(error, "got", "") or error)[:200],
            ) from None

    def numbers(self, tokens: Any) -> Ids:
        """Return the numbers of tokens in an array or nested lists, in its shape.

        Args:
            tokens: texts. Of many equal ones, each is looked up once.

        Returns:
            int64.

        Raises:
            ArgumentError: a token is not in the vocabulary, which has no unknown token.

        Example:
            >>> Vocabulary(["a", "b"], padding=None).numbers([["a", "b"], ["z", "a"]])
            array([[1, 2],
                   [0, 1]])
        """
        array = np.asarray(tokens)
        names, places = np.unique(array, return_inverse=True)
        return self.encode(map(str, names))[places].reshape(array.shape)

    def _state(self) -> Mapping[str, Any]:
        def token(i: int | None) -> str | None:
            return None if i is None else self.tokens[i]

        return {
            "format": _FORMAT,
            "padding": token(self.padding),
            "unknown": token(self.unknown),
            "tokens": self.tokens,
        }


def _not_in(token: str) -> ArgumentError:
    return ArgumentError(
        "[Vocabulary.encode] a token is not in the vocabulary",
        got=repr(token[:80]),
        fix="make the vocabulary with an `unknown` token",
    )


def padded(
    sequences: Sequence[Any], length: int, padding: int = 0, side: str = "right"
) -> Ids:
    """Return sequences of numbers as rows of equal length.

    Args:
        sequences: one-dimensional arrays or lists of integers.
        length: of each row. Of longer sequences the first `length` numbers are kept.
        padding: what fills up shorter ones.
        side: "right" fills up behind the numbers, "left" before them.

    Returns:
        int64, shape (number of sequences, length).

    Raises:
        ArgumentError: a length below 1, or an unknown side.
    """
    if length < 1 or side not in ("left", "right"):
        raise ArgumentError(
            "[padded] the length is at least 1, and the side 'left' or 'right'",
            got=f"length {length}, side {side!r}",
        )
    rows = np.full((len(sequences), length), padding, np.int64)
    for row, sequence in zip(rows, sequences, strict=True):
        kept = sequence[:length]
        if side == "right":
            row[: len(kept)] = kept
        else:
            row[length - len(kept) :] = kept
    return rows


def split_text(text: str, parts: Mapping[str, float]) -> dict[str, str]:
    """Return a text cut into named parts, in the order of `parts`.

    The parts follow one another, so that no sentence of one is in another.

    Args:
        text: what to cut.
        parts: name -> fraction of all characters. The sum is 1 or less.

    Raises:
        ArgumentError: fractions that make no sense, or a part without a character.

    Example:
        >>> split_text("abcdefghij", {"train": 0.8, "valid": 0.2})
        {'train': 'abcdefgh', 'valid': 'ij'}
    """
    fractions = list(parts.values())
    if not parts or not all(f > 0 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise ArgumentError(
            "[split_text] fractions are above 0, and at most 1 together",
            got=str(dict(parts)),
        )
    ends = [round(sum(fractions[: i + 1]) * len(text)) for i in range(len(parts))]
    cut = {
        name: text[start:end]
        for name, start, end in zip(parts, [0, *ends[:-1]], ends, strict=True)
    }
    for name, part in cut.items():
        if not part:
            raise ArgumentError("[split_text] a part has no character", got=repr(name))
    return cut


class Windows(Dataset):
    """Pieces of a long sequence, with the same pieces one step later.

    Sample i is (sequence[s : s + length], sequence[s + 1 : s + length + 1]), where
    s = i * stride: each number, and the one that follows it. `.sample(n, seed=1)` are
    n pieces at random, others in each epoch.

    Args:
        sequence: shape (n,), such as `Vocabulary.encode` of a text.
        length: of each piece, at least 1.
        stride: from the start of a piece to that of the next one.

    Raises:
        ShapeError: the sequence has more than one axis, or is not longer than a piece.
        ArgumentError: a length or stride below 1.
    """

    def __init__(self, sequence: Any, length: int, stride: int = 1) -> None:
        self.sequence = np.asarray(sequence)
        self.length, self.stride = length, stride
        if length < 1 or stride < 1:
            raise ArgumentError(
                "[Windows] length and stride are at least 1",
                got=f"length {length}, stride {stride}",
            )
        if self.sequence.ndim != 1 or len(self.sequence) <= length:
            raise ShapeError(
                "[Windows] the sequence gives no piece",
                got=f"shape {self.sequence.shape}",
                expected=f"one axis of at least {length + 1}",
            )

    def __len__(self) -> int:
        return (len(self.sequence) - self.length - 1) // self.stride + 1

    def item(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return piece `index`, and the piece one step later."""
        start = index * self.stride
        end = start + self.length
        return self.sequence[start:end], self.sequence[start + 1 : end + 1]

    def gather(self, indices: Indices) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return pieces as one batch."""
        places = indices[:, None] * self.stride + np.arange(self.length + 1)
        taken = self.sequence[places]
        return taken[:, :-1].copy(), taken[:, 1:].copy()
