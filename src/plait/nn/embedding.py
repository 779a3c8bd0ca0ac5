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
        dtype: of the table. Default: float32.

    Attributes:
        weight: shape (num_embeddings, embedding_dim); at first N(0, 1).

    Input: integers, any shape. Result: that shape, then embedding_dim.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = _place(padding_idx, num_embeddings)
        shape = (num_embeddings, embedding_dim)
        self.weight = Parameter(plait.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """Return a layer whose table is `embeddings`.

        Args:
            embeddings: shape (num_embeddings, embedding_dim).
            freeze: do not train the table.

        Raises:
            ShapeError: the table has not two axes.
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                "[Embedding] the table must have two axes", got=str(embeddings.shape)
            )
        rows, features = embeddings.shape
        layer = cls(rows, features, padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Set the table to new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = plait.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = plait.where(rows.unsqueeze(1), 0.0, self.weight.detach())

    def forward(self, input: Tensor) -> Tensor:
        result = plait.embedding(input, self.weight)
        if self.padding_idx is None:
            return result
        # Counted from the end, a number may mean the same row.
        nothing = (input == self.padding_idx) | (
            input == self.padding_idx - self.num_embeddings
        )
        return plait.where(nothing.unsqueeze(-1), result.detach(), result)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((integers(3, 4, high=5),), (5, 3), wrt=()),
            Sample(
                (integers(6, high=4),), (4, 2), {"padding_idx": 1}, wrt=(), smooth=False
            ),
            Sample((integers(6, high=4),), (4, 2, -1), wrt=(), smooth=False),
        ]


def _place(index: int | None, size: int) -> int | None:
    if index is None:
        return None
    if not -size <= index < size:
        raise ArgumentError(
            "[Embedding] padding_idx numbers no row",
            got=f"padding_idx={index} of {size} rows",
        )
    return index % size
