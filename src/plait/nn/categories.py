"""Layers that number categories, or give their numbers as vectors.

Read first: `CategoryEncoding`, `Discretization`, `IntegerLookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Count
from ..errors import ArgumentError
from .adapted import Adapted
from .module import Module
from .sample import Sample, integers, uniform

# How numbers of categories are given to what follows.
OUTPUT_MODES = ("int", "one_hot", "multi_hot", "count")


def encoded(
    ids: Tensor, size: int, output_mode: str, weights: Tensor | None, dtype: Any
) -> Tensor:
    """Return numbers of categories in one of `OUTPUT_MODES`.

    Args:
        ids: integers.
        size: the number of categories; numbers that are none count as nothing.
        weights: what each counts in the mode "count". None: 1.
        dtype: of the result, if it is not "int".
    """
    if output_mode == "int":
        return ids
    if output_mode == "one_hot":
        hot = plait.one_hot(ids, size, dtype=dtype)
        return hot.squeeze(-2) if ids.ndim and ids.shape[-1] == 1 else hot
    ids = ids if ids.ndim else ids.unsqueeze(0)
    known = (ids >= 0) & (ids < size)
    value: Tensor | float = 1.0 if weights is None else weights.to(dtype)
    parts = plait.where(known, value, 0.0).to(dtype)
    zeros = plait.zeros((*ids.shape[:-1], size), dtype=dtype)
    mode = "max" if output_mode == "multi_hot" else "add"
    places = plait.where(known, ids, 0)
    return plait.put_along_axis(zeros, places, parts, axis=-1, mode=mode)


def check_mode(
    layer: str, output_mode: str, known: Sequence[str] = OUTPUT_MODES
) -> str:
    """Return an output mode.

    Raises:
        ArgumentError: there is no such mode.
    """
    if output_mode not in known:
        raise ArgumentError(
            f"[{layer}] there is no such output_mode",
            got=repr(output_mode),
            expected=", ".join(map(repr, known)),
        )
    return output_mode


class CategoryEncoding(Module):
    """Gives numbers of categories as vectors with an entry for each category.

    Numbers that are none of 0..num_tokens-1 count as nothing.

    Args:
        num_tokens: how many categories there are.
        output_mode: "one_hot": 1 at the category of each number; "multi_hot": 1 at all
            categories along the last axis; "count": how often each is there; "int": the
            numbers themselves.

    Input: integers, or floats that are whole, shape (..., k); for "count" optionally
    weights of the same shape, which are added instead of 1. Result: shape
    (..., num_tokens) for "multi_hot" and "count"; (..., k, num_tokens) for "one_hot",
    or (..., num_tokens) if k is 1. Floats, those of the input or weights, else float32.

    Raises:
        ArgumentError: fewer than one category, no such mode; (calling it) weights in
            another mode.
    """

    _shown = ("num_tokens", "output_mode")

    def __init__(self, num_tokens: Count, output_mode: str = "multi_hot") -> None:
        super().__init__()
        if num_tokens < 1:
            raise ArgumentError(
                "[CategoryEncoding] there is at least one category", got=str(num_tokens)
            )
        self.num_tokens = num_tokens
        self.output_mode = check_mode("CategoryEncoding", output_mode)

    def forward(self, input: Tensor, count_weights: Tensor | None = None) -> Tensor:
        """Return the vectors.

        Args:
            count_weights: what each number counts, for the mode "count".
        """
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                "[CategoryEncoding] weights are for the mode 'count'",
                got=f"output_mode={self.output_mode!r}",
            )
        like = input if count_weights is None else count_weights
        dtype = like.dtype if like.dtype.is_float else plait.float32
        ids = input.to(plait.int64)
        return encoded(ids, self.num_tokens, self.output_mode, count_weights, dtype)

    @staticmethod
    def samples() -> list[Sample]:
        x = integers(3, 4, high=5)

        def hot(layer: Any, x: Any) -> Any:
            return np.eye(5)[x.astype(int)]

        def several(layer: Any, x: Any) -> Any:
            return hot(layer, x).max(-2)

        def count(layer: Any, x: Any, weights: Any) -> Any:
            return (hot(layer, x) * weights[..., None]).sum(-2)

        plain: dict[str, Any] = {"wrt": (), "smooth": False, "like_torch": "never"}
        return [
            Sample((x * 1.0,), (5,), **plain, reference=several),
            Sample((x * 1.0,), (5, "one_hot"), **plain, reference=hot),
            Sample((x, uniform(3, 4)), (5, "count"), wrt=(1,), reference=count),
        ]


class Discretization(Adapted):
    """Numbers the ranges that numbers lie in.

    Formula: i with boundary[i - 1] <= x < boundary[i]; 0 below all boundaries.

    Args:
        bin_boundaries: in ascending order. None: `adapt` finds them out.
        num_bins: how many ranges `adapt` makes, each with as many of the data.
        output_mode: "int" for the numbers; "one_hot", "multi_hot" or "count": see
            `CategoryEncoding`.

    Attributes:
        bin_boundaries: shape (number of ranges - 1,). Buffer.

    Input: any shape. Result: the same, int64; in other modes that of
    `CategoryEncoding`, and floats.

    Raises:
        ArgumentError: both boundaries and a number of ranges, or neither; boundaries
            that do not ascend; no such mode; (calling it) there were no data.
    """

    bin_boundaries: Tensor

    _shown = ("num_bins", "output_mode")

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        output_mode: str = "int",
    ) -> None:
        super().__init__()
        if (bin_boundaries is None) == (num_bins is None):
            raise ArgumentError(
                "[Discretization] either bin_boundaries or num_bins is needed",
                got=f"bin_boundaries={bin_boundaries}, num_bins={num_bins}",
            )
        if num_bins is not None and num_bins < 2:
            raise ArgumentError(
                "[Discretization] there are at least 2 ranges", got=f"{num_bins=}"
            )
        if bin_boundaries is not None and (np.diff(bin_boundaries) <= 0).any():
            raise ArgumentError(
                "[Discretization] boundaries must ascend", got=str(bin_boundaries)
            )
        given = None if bin_boundaries is None else list(bin_boundaries)
        self.num_bins = len(given) + 1 if given is not None else num_bins or 0
        self.output_mode = check_mode("Discretization", output_mode)
        self._own("bin_boundaries", given, plait.float32)

    def _found(self, batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        values = np.concatenate([np.asarray(b, np.float64).ravel() for b in batches])
        shares = np.arange(1, self.num_bins) / self.num_bins
        return {"bin_boundaries": np.quantile(values, shares)}

    def forward(self, input: Tensor) -> Tensor:
        self._check_adapted()
        bounds = self.bin_boundaries.to(plait.result_type(input.dtype, plait.float32))
        ids = plait.searchsorted(bounds, input.to(bounds.dtype), side="right")
        dtype = input.dtype if input.dtype.is_float else plait.float32
        return encoded(ids, self.num_bins, self.output_mode, None, dtype)

    @staticmethod
    def samples() -> list[Sample]:
        bounds = (-1.0, 0.25, 1.0)

        def numbers(layer: Any, x: Any) -> Any:
            return np.digitize(x, bounds)

        def hot(layer: Any, x: Any) -> Any:
            return np.eye(4)[np.digitize(x, bounds)]

        def count(layer: Any, x: Any) -> Any:
            return hot(layer, x).sum(-2)

        settings: dict[str, Any] = {"smooth": False, "like_torch": "never"}
        return [
            Sample(
                (uniform(3, 4),), (bounds,), {"output_mode": mode}, **settings,
                reference=reference,
            )
            for mode, reference in (
                ("one_hot", hot), ("int", numbers), ("count", count)
            )
        ]  # fmt: skip


def inverse_frequencies(documents: int, counts: np.ndarray) -> np.ndarray:
    """Return how much tokens weigh that are in `counts` of so many documents.

    Formula: log(1 + documents / (1 + count)).
    """
    return np.log(1 + documents / (1 + counts))


class IntegerLookup(Adapted):
    """Numbers integers by a vocabulary, the most frequent ones first.

    First comes the number of the mask token, if there is one, then those of integers
    that are not in the vocabulary, then those of the vocabulary, in its order.

    Args:
        max_tokens: how many numbers there are at most, those of the mask token and of
            unknown integers included. None: as many as there are.
        num_oov_indices: how many numbers unknown integers have; x has the number
            x mod num_oov_indices of them.
        mask_token: an integer that means that there is none, and has the number 0.
        oov_token: what the numbers of unknown integers mean, with `invert`.
        vocabulary: the integers. None: `adapt` finds them out.
        invert: make integers of their numbers.
        output_mode: "int" for the numbers; "one_hot", "multi_hot" or "count": see
            `CategoryEncoding`; "tf_idf": counts times the weights of the integers.
        idf_weights: weights of the vocabulary, for "tf_idf".

    Attributes:
        tokens: the vocabulary in ascending order, int64, shape (k,). Buffer.
        ids: the number of each. Buffer.
        idf: the weight of each number, for "tf_idf": log(1 + n / (1 + m)) of an integer
            that is in m of n rows of data; unknown ones weigh the mean. Buffer.

    Input: integers, any shape. Result: the same, int64; in other modes that of
    `CategoryEncoding`, and float32.

    Raises:
        ArgumentError: `max_tokens` leaves no room, no numbers for unknown integers, an
            integer is in the vocabulary twice, no such mode, "tf_idf" with a vocabulary
            but without weights; (calling it) there were no data.
    """

    tokens: Tensor
    ids: Tensor
    idf: Tensor

    _shown = ("max_tokens", "num_oov_indices", "output_mode")

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Sequence[int] | None = None,
        invert: bool = False,
        output_mode: str = "int",
        idf_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        name = "IntegerLookup"
        self.num_oov_indices = num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.first = (mask_token is not None) + num_oov_indices
        self.max_tokens, self.invert = max_tokens, invert
        self.output_mode = check_mode(name, output_mode, (*OUTPUT_MODES, "tf_idf"))
        if num_oov_indices < 1 or (max_tokens is not None and max_tokens <= self.first):
            raise ArgumentError(
                f"[{name}] there is no room for unknown integers or for known ones",
                got=f"num_oov_indices={num_oov_indices}, max_tokens={max_tokens}",
            )
        weighted = self.output_mode == "tf_idf"
        if weighted and (vocabulary is None) != (idf_weights is None):
            raise ArgumentError(
                f"[{name}] a vocabulary needs weights for tf_idf, and weights one",
                got=f"vocabulary={vocabulary}, idf_weights={idf_weights}",
            )
        found: dict[str, Any] = {}
        if vocabulary is not None:
            weights = np.asarray(idf_weights) if weighted else None
            found = self._numbered(np.asarray(vocabulary), weights)
        self._own("tokens", found.get("tokens"), plait.int64)
        self._own("ids", found.get("ids"), plait.int64)
        if weighted:
            self._own("idf", found.get("idf"), plait.float32)

    def _numbered(
        self, vocabulary: np.ndarray, weights: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        tokens, order = np.unique(vocabulary.astype(np.int64), return_index=True)
        if vocabulary.ndim != 1 or not len(tokens) or len(tokens) < len(vocabulary):
            raise ArgumentError(
                "[IntegerLookup] a vocabulary holds each integer once",
                got=f"{vocabulary.size} integers, {len(tokens)} different ones",
            )
        found = {"tokens": tokens, "ids": order + self.first}
        if weights is not None:
            unknown = np.full(self.first, weights.mean())
            if self.mask_token is not None:
                unknown[0] = 0.0
            found["idf"] = np.concatenate([unknown, weights])
        return found

    def _found(self, batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        values = np.concatenate([batch.ravel() for batch in batches])
        tokens, counts = np.unique(values, return_counts=True)
        kept = tokens != self.mask_token
        tokens, counts = tokens[kept], counts[kept]
        order = np.argsort(-counts, kind="stable")
        if self.max_tokens is not None:
            order = order[: self.max_tokens - self.first]
        vocabulary = tokens[order]
        if self.output_mode != "tf_idf":
            return self._numbered(vocabulary, None)
        rows = [row for batch in batches for row in np.atleast_2d(batch)]
        present = np.concatenate([np.unique(row) for row in rows])
        names, frequency = np.unique(present, return_counts=True)
        frequency = frequency[np.searchsorted(names, vocabulary)]
        return self._numbered(vocabulary, inverse_frequencies(len(rows), frequency))

    def vocabulary_size(self) -> int:
        """Return how many numbers there are."""
        self._check_adapted()
        return self.first + self.tokens.shape[0]

    def forward(self, input: Tensor) -> Tensor:
        self._check_adapted()
        x = input.to(plait.int64)
        if self.invert:
            return self._inverse(x)
        last = self.tokens.shape[0] - 1
        place = plait.searchsorted(self.tokens, x).clip(0, last)
        known = plait.equal(plait.take(self.tokens, place, axis=0), x)
        unknown = plait.remainder(x, self.num_oov_indices)
        if self.mask_token is not None:
            unknown = plait.where(plait.equal(x, self.mask_token), 0, unknown + 1)
        ids = plait.where(known, plait.take(self.ids, place, axis=0), unknown)
        size = self.vocabulary_size()
        if self.output_mode != "tf_idf":
            return encoded(ids, size, self.output_mode, None, plait.float32)
        return encoded(ids, size, "count", None, self.idf.dtype) * self.idf

    def _inverse(self, ids: Tensor) -> Tensor:
        special = [self.oov_token] * self.num_oov_indices
        if self.mask_token is not None:
            special = [self.mask_token, *special]
        table = plait.concat([plait.tensor(special), self.tokens])
        places = plait.concat([plait.arange(self.first), self.ids])
        # The token of a number stands where that number stands among all numbers.
        return plait.take(plait.take(table, plait.argsort(places), axis=0), ids, axis=0)

    @staticmethod
    def samples() -> list[Sample]:
        words = (12, 36, 1138, 42)
        x = np.array([[12, 1138, 42], [42, 1000, 36]])
        plain: dict[str, Any] = {
            "wrt": (), "smooth": False, "like_torch": "never",
        }  # fmt: skip

        def numbers(layer: Any, x: Any) -> Any:
            return np.array([[1, 3, 4], [4, 0, 2]])

        weights = {
            "vocabulary": words, "output_mode": "tf_idf", "mask_token": 0,
            "idf_weights": [1.0, 2.0, 3.0, 4.0],
        }  # fmt: skip
        return [
            Sample((x,), (), {"vocabulary": words}, **plain, reference=numbers),
            Sample((x,), (), weights, **plain),
            Sample(
                (x % 5,),
                (),
                {"vocabulary": words, "invert": True},
                **plain,
                reference=lambda _, x: np.array([-1, *words])[x],
            ),
        ]
