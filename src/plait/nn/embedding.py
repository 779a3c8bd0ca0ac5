"""Tables of vectors, looked up by number.

Read first: `Embedding`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from . import init
from .linear import sizes
from .module import Module
from .parameter import Parameter
from .sample import Sample, integers


class Embedding(Module):
    """A table of vectors: the result holds the rows numbered by the input.

    Args:
        num_embeddings: how many vectors there are.
        embedding_dim: the size of each.
        padding_idx: the number of a vector that stands for nothing: it is 0 at first
            and gets no gradient.
        max_norm: vectors that are looked up and have a greater norm are first scaled
            down to it. That changes the table, in evaluation mode as well, so inside
            `jit` pass the table through `functional_call`.
        norm_type: p of that norm, the p-th root of the sum of abs(x) ** p.
        scale_grad_by_freq: divide the gradient of a vector by how often it was looked
            up in the same call.
        sparse: must be false: gradients are dense. It is here to keep PyTorch's order.
        _weight: the table, shape (num_embeddings, embedding_dim). Default: new values.
        _freeze: do not train the table.
        dtype: of the table. Default: float32.

    Attributes:
        weight: shape (num_embeddings, embedding_dim); at first N(0, 1).

    Input: integers, any shape. Result: that shape, then embedding_dim.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: `_weight` has another shape.
        DTypeError: (calling it) the input is not of integers.
        IndexingError: (calling it) a number is out of range.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if sparse:
            raise ArgumentError(
                "[Embedding] there are no sparse gradients",
                got="sparse=True",
                fix="leave it out: the gradients are the same, but dense",
            )
        if max_norm is not None and not max_norm > 0:
            raise ArgumentError(
                "[Embedding] max_norm must be above 0", got=f"max_norm={max_norm}"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = row_number("Embedding", padding_idx, num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        shape = (num_embeddings, embedding_dim)
        if _weight is not None and _weight.shape != shape:
            raise ShapeError(
                "[Embedding] the table does not have one row for each number",
                got=str(_weight.shape),
                expected=str(shape),
            )
        values = _weight
        if values is None:
            values = plait.empty(shape, device=device, dtype=dtype)
        self.weight = Parameter(values, requires_grad=not _freeze)
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Return a layer whose table is `embeddings`.

        Args:
            embeddings: shape (num_embeddings, embedding_dim).
            freeze: do not train the table.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: those of the
                layer.

        Raises:
            ShapeError: the table has not two axes.
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                "[Embedding] the table must have two axes", got=str(embeddings.shape)
            )
        rows, features = embeddings.shape
        return cls(
            rows, features, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, embeddings, freeze,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Set the table to new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = plait.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = plait.where(rows.unsqueeze(1), 0.0, self.weight.detach())

    def forward(self, input: Tensor) -> Tensor:
        if self.max_norm is not None:
            limit_rows(self.weight, input, self.max_norm, self.norm_type)
        result = plait.embedding(input, self.weight)
        if self.scale_grad_by_freq:
            result = self._shared(input, result)
        if self.padding_idx is None:
            return result
        # Counted from the end, a number may mean the same row.
        nothing = (input == self.padding_idx) | (
            input == self.padding_idx - self.num_embeddings
        )
        return plait.where(nothing.unsqueeze(-1), result.detach(), result)

    def _shared(self, input: Tensor, result: Tensor) -> Tensor:
        """Return `result`, the gradient of a row divided by how often it is taken."""
        counts = row_counts(input, self.num_embeddings, result.dtype)
        share = 1 / plait.take(counts, input).unsqueeze(-1)
        fixed = result.detach()
        return fixed + (result - fixed) * share

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2.0:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += ", scale_grad_by_freq=True"
        return text

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((integers(3, 4, high=5),), (5, 3), wrt=()),
            Sample(
                (integers(6, high=4),), (4, 2), {"padding_idx": 1}, wrt=(), smooth=False
            ),
            Sample((integers(6, high=4),), (4, 2, -1), wrt=(), smooth=False),
            Sample(
                (integers(2, 6, high=4),), (4, 2), {"scale_grad_by_freq": True}, wrt=(),
                smooth=False,
            ),
            Sample((integers(0, 6, high=4),), (4, 2), wrt=()),
        ]  # fmt: skip


def row_number(layer: str, index: int | None, size: int) -> int | None:
    """Return the number of a row from the start; None for none.

    Raises:
        ArgumentError: there is no such row.
    """
    if index is None:
        return None
    if not -size <= index < size:
        raise ArgumentError(
            f"[{layer}] padding_idx numbers no row",
            got=f"padding_idx={index} of {size} rows",
        )
    return index % size


def limit_rows(table: Parameter, input: Tensor, limit: float, p: float) -> None:
    """Scale down the rows of a table that are looked up and have a norm above `limit`.

    Args:
        p: the order of the norm.
    """
    values = table.detach()
    rows = plait.embedding(input, values)
    norms = rows.norm(p, axis=-1, keepdims=True)
    # As in PyTorch, a little below the limit, so that it is not exceeded again.
    factors = plait.where(norms > limit, limit / (norms + 1e-7), 1.0)
    table.data = plait.index_copy(values, input, rows * factors, axis=0)


def row_counts(input: Tensor, size: int, dtype: Any) -> Tensor:
    """Return how often each of `size` rows is looked up."""
    return plait.index_add(plait.zeros(size, dtype=dtype), input, 1.0, axis=0)
