"""Layers that number categories without a vocabulary, by hashes.

Read first: `Hashing`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, DTypeError, ShapeError
from .categories import check_mode, encoded
from .module import Module
from .sample import Sample, integers

# The odd constants of a mixing of 64 bits. Source: G. L. Steele, D. Lea, C. H. Flood,
# "Fast splittable pseudorandom number generators", 2014, figure 16.
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = 1 << 64


def _mixed(word: Tensor) -> Tensor:
    """Return words of 64 bits so changed that each bit depends on all of them."""
    word = (word ^ (word >> 30)) * _FIRST
    word = (word ^ (word >> 27)) * _SECOND
    return word ^ (word >> 31)


def hashed(parts: Sequence[Tensor], salt: int) -> Tensor:
    """Return hashes of tuples of integers: uint64, in the shape of each part."""
    word = plait.full(parts[0].shape, salt * _GOLDEN % _WORD, dtype=plait.uint64)
    for part in parts:
        bits = plait.bitcast(part.to(plait.int64), plait.uint64)
        word = _mixed((word ^ bits) + _GOLDEN)
    return word


def _by_hand(parts: Sequence[int], salt: int = 0) -> int:
    """Return what `hashed` returns, for integers of Python: the samples' reference."""

    def step(word: int, part: int) -> int:
        word = ((word ^ part % _WORD) + _GOLDEN) % _WORD
        word = (word ^ word >> 30) * _FIRST % _WORD
        word = (word ^ word >> 27) * _SECOND % _WORD
        return word ^ word >> 31

    return functools.reduce(step, parts, salt * _GOLDEN % _WORD)


def _bins(hashes: Tensor, count: int) -> Tensor:
    return plait.remainder(hashes, count).to(plait.int64)


def _check_integers(layer: str, parts: Sequence[Tensor]) -> None:
    for part in parts:
        if part.dtype.is_float:
            raise DTypeError(
                f"[{layer}] integers are hashed",
                got=part.dtype.name,
                fix="cast with x.to(plait.int64); for texts, plait.data.hash_tokens",
            )
    if any(part.shape != parts[0].shape for part in parts):
        raise ShapeError(
            f"[{layer}] the features differ in shape",
            got=" and ".join(str(part.shape) for part in parts),
        )


class Hashing(Module):
    """Gives integers numbers below a limit, without a vocabulary; some share one.

    Formula: a mixture of all 64 bits of the integer and the salt, mod num_bins.

    Args:
        num_bins: how many numbers there are.
        mask_value: an integer that has the number 0, which no other has.
        salt: other salts give other numbers.
        output_mode: "int", or "one_hot", "multi_hot" or "count": see
            `CategoryEncoding`.

    Input: integers, any shape. Result: the same, int64; in other modes that of
    `CategoryEncoding`, and float32.

    Raises:
        ArgumentError: no number, or none but that of the mask value; a negative salt;
            no such mode.
        DTypeError: (calling it) the input is no integer.

    Source: the mixture: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable
    pseudorandom number generators", 2014.
    """

    _shown = ("num_bins", "mask_value", "salt", "output_mode")

    def __init__(
        self,
        num_bins: int,
        mask_value: int | None = None,
        salt: int = 0,
        output_mode: str = "int",
    ) -> None:
        super().__init__()
        masked = mask_value is not None
        if num_bins < 1 + masked or salt < 0:
            raise ArgumentError(
                "[Hashing] there is at least one number, and the salt is not negative",
                got=f"num_bins={num_bins}, mask_value={mask_value}, salt={salt}",
            )
        self.num_bins, self.mask_value, self.salt = num_bins, mask_value, salt
        self.output_mode = check_mode("Hashing", output_mode)

    def forward(self, input: Tensor) -> Tensor:
        _check_integers("Hashing", (input,))
        hashes = hashed((input,), self.salt)
        if self.mask_value is None:
            ids = _bins(hashes, self.num_bins)
        else:
            ids = _bins(hashes, self.num_bins - 1) + 1
            ids = plait.where(plait.equal(input, self.mask_value), 0, ids)
        return encoded(ids, self.num_bins, self.output_mode, None, plait.float32)

    @staticmethod
    def samples() -> list[Sample]:
        def numbers(layer: Any, x: Any) -> Any:
            found = [_by_hand([v], layer.salt) % 7 for v in x.ravel().tolist()]
            return np.array(found).reshape(x.shape)

        x = integers(3, 4, high=100) - 50
        plain: dict[str, Any] = {"wrt": (), "smooth": False, "like_torch": "never"}
        return [
            Sample((x,), (7,), **plain, reference=numbers),
            Sample((x,), (7,), {"salt": 3}, **plain, reference=numbers),
            Sample((x,), (7,), {"mask_value": -50}, **plain),
        ]


class HashedCrossing(Module):
    """Gives combinations of integers numbers below a limit; some share one.

    Formula: that of `Hashing`, over one integer after the other.

    Args:
        num_bins: how many numbers there are.
        output_mode: "int", or "one_hot", "multi_hot" or "count": see
            `CategoryEncoding`.
        salt: other salts give other numbers.

    Input: two or more tensors of integers of one shape, as separate arguments. Result:
    the same shape, int64; in other modes that of `CategoryEncoding`, and float32.

    Raises:
        ArgumentError: no number; a negative salt; no such mode; (calling it) fewer than
            two features.
        DTypeError: (calling it) a feature is no integer.
        ShapeError: (calling it) the shapes differ.

    Source: as `Hashing`.
    """

    _shown = ("num_bins", "output_mode", "salt")

    def __init__(self, num_bins: int, output_mode: str = "int", salt: int = 0) -> None:
        super().__init__()
        if num_bins < 1 or salt < 0:
            raise ArgumentError(
                "[HashedCrossing] there is at least one number, and the salt is not "
                "negative",
                got=f"num_bins={num_bins}, salt={salt}",
            )
        self.num_bins, self.salt = num_bins, salt
        self.output_mode = check_mode("HashedCrossing", output_mode)

    def forward(self, *features: Tensor) -> Tensor:
        if len(features) < 2:
            raise ArgumentError(
                "[HashedCrossing] there is nothing to cross",
                got=f"{len(features)} features",
                expected="two or more tensors",
            )
        _check_integers("HashedCrossing", features)
        ids = _bins(hashed(features, self.salt), self.num_bins)
        return encoded(ids, self.num_bins, self.output_mode, None, plait.float32)

    @staticmethod
    def samples() -> list[Sample]:
        def numbers(layer: Any, x: Any, y: Any) -> Any:
            pairs = zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)
            found = [_by_hand(pair) % 9 for pair in pairs]
            return np.array(found).reshape(x.shape)

        pair = (integers(3, 4, high=100), integers(3, 4, high=9))
        plain: dict[str, Any] = {"wrt": (), "smooth": False, "like_torch": "never"}
        return [
            Sample(pair, (9,), **plain, reference=numbers),
        ]
