"""Texts as rows of numbers, all steps in one: tidied, split, numbered, of one length.

    vectorize = TextVectorization(output_sequence_length=4).adapt(texts)
    vectorize(["The cat sat.", "A dog!"])     [[2, 5, 9, 0], [3, 4, 0, 0]]

Read first: `TextVectorization`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ArgumentTypeError
from ..nn.categories import inverse_frequencies
from .text import Ids, Vocabulary, padded

# What is taken out of a text: the signs of ASCII that are no letters, digits or spaces.
_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")

_STANDARDIZE: dict[Any, Callable[[str], str]] = {
    "lower_and_strip_punctuation": lambda text: _PUNCTUATION.sub("", text.lower()),
    "lower": str.lower,
    "strip_punctuation": lambda text: _PUNCTUATION.sub("", text),
    None: lambda text: text,
}
_SPLIT: dict[Any, Callable[[str], Sequence[str]]] = {
    "whitespace": str.split,
    "character": list,
    None: lambda text: [text],
}
_MODES = ("int", "multi_hot", "count", "tf_idf")


def _chosen(name: str, value: Any, known: dict[Any, Callable[..., Any]]) -> Any:
    if callable(value):
        return value
    if value not in known:
        raise ArgumentError(
            f"[TextVectorization] there is no such {name}",
            got=repr(value),
            expected=f"{', '.join(map(repr, known))}, or a function",
        )
    return known[value]


def _sizes(ngrams: int | Sequence[int] | None) -> tuple[int, ...]:
    sizes = (
        (1,) if ngrams is None
        else tuple(range(1, ngrams + 1)) if isinstance(ngrams, int)
        else tuple(ngrams)
    )  # fmt: skip
    if not sizes or min(sizes) < 1:
        raise ArgumentError(
            "[TextVectorization] n-grams have one token or more", got=repr(ngrams)
        )
    return sizes


class TextVectorization:
    """Makes rows of numbers of texts.

    A text is tidied and split into tokens, runs of tokens are joined to n-grams if
    wanted, and these are numbered by a vocabulary, which `adapt` makes of texts.

    Args:
        max_tokens: how many tokens the vocabulary has at most, with those for padding
            and unknown ones. None: all.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", None,
            or a function from a text to a text.
        split: "whitespace", "character", None for texts that are one token each, or a
            function from a text to its tokens, such as `tokenize`.
        ngrams: n: runs of 1 to n tokens, joined by spaces; or the lengths of the runs.
            None: single tokens.
        output_mode: "int": the number of each token, 0 behind the last and 1 for
            unknown ones. Otherwise a number for each token of the vocabulary, which
            begins with the unknown one: "multi_hot": 1 if it is there; "count": how
            often; "tf_idf": how often, times log(1 + n / (1 + m)) for a token that is
            in m of the n texts it was adapted to (the mean of these for unknown ones).
        output_sequence_length: how many numbers a row has, for "int": longer texts are
            cut. None: as many as the longest of the texts given.
        vocabulary: tokens, a `Vocabulary`, or the path of a file that holds a token on
            each line. None: `adapt` makes one.
        idf_weights: the weights of these tokens, for "tf_idf".

    Attributes:
        vocabulary: a `Vocabulary`, or None before `adapt`.
        idf: the weight of each token of the vocabulary, or None.

    Raises:
        ArgumentError: no such way or mode; a length for another mode than "int"; for
            "tf_idf" a vocabulary without weights.

    Example:
        >>> vectorize = TextVectorization(vocabulary=["cat", "sat"])
        >>> vectorize(["The cat sat.", "Sat!"])
        array([[1, 2, 3],
               [3, 0, 0]])
        >>> vectorize("sat")
        array([3])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        *,
        standardize: str | Callable[[str], str] | None = "lower_and_strip_punctuation",
        split: str | Callable[[str], Sequence[str]] | None = "whitespace",
        ngrams: int | Sequence[int] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        vocabulary: Any = None,
        idf_weights: Any = None,
    ) -> None:
        self.max_tokens = max_tokens
        self._standardize = _chosen("standardize", standardize, _STANDARDIZE)
        self._split = _chosen("split", split, _SPLIT)
        self._ngrams = _sizes(ngrams)
        if output_mode not in _MODES:
            raise ArgumentError(
                "[TextVectorization] there is no such output_mode",
                got=repr(output_mode),
                expected=", ".join(map(repr, _MODES)),
            )
        if output_sequence_length is not None and (
            output_mode != "int" or output_sequence_length < 1
        ):
            raise ArgumentError(
                "[TextVectorization] a length of 1 or more is for the mode 'int'",
                got=f"output_sequence_length={output_sequence_length}, "
                f"output_mode={output_mode!r}",
            )
        if output_mode == "tf_idf" and (vocabulary is None) != (idf_weights is None):
            raise ArgumentError(
                "[TextVectorization] for tf_idf, tokens and their weights go together",
                got="a vocabulary" if idf_weights is None else "weights",
            )
        self.output_mode = output_mode
        self.output_sequence_length = output_sequence_length
        self.vocabulary: Vocabulary | None = None
        self.idf: NDArray[np.float32] | None = None
        if vocabulary is not None:
            self.vocabulary = self._given(vocabulary)
        if idf_weights is not None:
            self._weigh(np.asarray(idf_weights, np.float64))

    @property
    def _padding(self) -> str | None:
        return "<pad>" if self.output_mode == "int" else None

    def _given(self, vocabulary: Any) -> Vocabulary:
        if isinstance(vocabulary, Vocabulary):
            wanted = 0 if self.output_mode == "int" else None
            if vocabulary.padding != wanted or vocabulary.unknown is None:
                raise ArgumentError(
                    "[TextVectorization] the vocabulary has an unknown token, and one "
                    "for padding in the mode 'int' alone",
                    got=f"{vocabulary!r} in the mode {self.output_mode!r}",
                )
            return vocabulary
        if isinstance(vocabulary, (str, os.PathLike)):
            return Vocabulary.read(vocabulary, padding=self._padding)
        return Vocabulary(vocabulary, padding=self._padding)

    def _weigh(self, weights: NDArray[np.float64]) -> None:
        """Keep the weights of tokens; the unknown one weighs their mean."""
        mean = weights.mean() if weights.size else 0.0
        self.idf = np.concatenate([[mean], weights]).astype(np.float32)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text, n-grams included."""
        words = list(self._split(self._standardize(text)))
        if self._ngrams == (1,):
            return words
        return [
            " ".join(words[i : i + n])
            for n in self._ngrams
            for i in range(len(words) - n + 1)
        ]

    def adapt(self, texts: Iterable[Any]) -> Self:
        """Make the vocabulary of texts, the most frequent tokens first; return this.

        Args:
            texts: texts, or batches of them.
        """
        counts: Counter[str] = Counter()
        present: Counter[str] = Counter()
        total = 0
        for text in _each(texts):
            tokens = self.tokens(text)
            counts.update(tokens)
            present.update(set(tokens))
            total += 1
        self.vocabulary = Vocabulary.of_counts(
            counts, max_size=self.max_tokens, padding=self._padding
        )
        if self.output_mode == "tf_idf":
            kept = self.vocabulary.tokens[1:]
            frequency = np.array([present[token] for token in kept], np.float64)
            self._weigh(inverse_frequencies(total, frequency))
        return self

    def __call__(self, texts: Any) -> Any:
        """Return texts as rows of numbers; a single text as one row.

        Returns:
            int64, shape (number of texts, length), for "int"; float32, shape (number of
            texts, size of the vocabulary), otherwise.

        Raises:
            ArgumentError: `adapt` was not called, and no vocabulary given.
            ArgumentTypeError: a text is none.
        """
        if self.vocabulary is None:
            raise ArgumentError(
                "[TextVectorization] there is no vocabulary yet",
                fix="call adapt(texts) once, or give one",
            )
        single = isinstance(texts, str)
        rows = [
            self.vocabulary.encode(self.tokens(text))
            for text in _each([texts] if single else texts)
        ]
        found = self._numbers(rows) if self.output_mode == "int" else self._counts(rows)
        return found[0] if single else found

    def _numbers(self, rows: list[Ids]) -> Ids:
        length = self.output_sequence_length
        if length is None:
            length = max((len(row) for row in rows), default=0)
        if length == 0:
            return np.empty((len(rows), 0), np.int64)
        return padded(rows, length)

    def _counts(self, rows: list[Ids]) -> NDArray[np.float32]:
        assert self.vocabulary is not None
        size = len(self.vocabulary)
        found = np.array(
            [np.bincount(row, minlength=size) for row in rows], np.float32
        ).reshape(len(rows), size)
        if self.output_mode == "multi_hot":
            return (found > 0).astype(np.float32)
        if self.output_mode == "tf_idf":
            assert self.idf is not None
            return found * self.idf
        return found

    def __repr__(self) -> str:
        known = "" if self.vocabulary is None else f", {self.vocabulary!r}"
        return f"<TextVectorization {self.output_mode!r}{known}>"


def _each(texts: Any) -> Iterator[str]:
    """Yield every text in lists, arrays or data sets of texts."""
    for text in texts:
        if isinstance(text, bytes):
            yield text.decode("utf-8")
        elif isinstance(text, str):
            yield text
        elif isinstance(text, Iterable):
            yield from _each(text)
        else:
            raise ArgumentTypeError(
                "[TextVectorization] this is no text", got=f"a {type(text).__name__}"
            )


def hash_tokens(
    tokens: Any, num_bins: int, *, mask_value: str | None = None, salt: int = 0
) -> Ids:
    """Return numbers for texts, without a vocabulary; some texts share one.

    Formula: the first 8 bytes of BLAKE2b of the text, with the salt, mod num_bins.

    Args:
        tokens: texts, in an array or nested lists.
        num_bins: how many numbers there are.
        mask_value: a text that has the number 0, which no other has.
        salt: 0 to 2 ** 64 - 1; others give other numbers.

    Returns:
        int64, the shape of `tokens`.

    Raises:
        ArgumentError: no number, or none but that of the mask value; a salt out of
            range.

    Source: M.-J. Saarinen, J.-P. Aumasson, RFC 7693, 2015.

    Example:
        >>> hash_tokens(["cat", "dog", "cat"], 1000)
        array([939, 465, 939])
    """
    masked = mask_value is not None
    if num_bins < 1 + masked or not 0 <= salt < 1 << 64:
        raise ArgumentError(
            "[hash_tokens] there is at least one number, and a salt has 64 bits",
            got=f"num_bins={num_bins}, mask_value={mask_value!r}, salt={salt}",
        )
    array = np.asarray(tokens, dtype=object)
    key = salt.to_bytes(8, "little") if salt else b""

    def number(token: Any) -> int:
        if masked and token == mask_value:
            return 0
        digest = hashlib.blake2b(str(token).encode(), digest_size=8, key=key).digest()
        return int.from_bytes(digest, "little") % (num_bins - masked) + masked

    # One hash for each text that there is, however often.
    known: dict[Any, int] = {}
    for token in array.flat:
        if token not in known:
            known[token] = number(token)
    ids = np.fromiter((known[token] for token in array.flat), np.int64, array.size)
    return ids.reshape(array.shape)
