"""Tables of vectors, of which bags of several are looked up at once.

Read first: `EmbeddingBag`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from . import init
from .embedding import limit_rows, row_counts, row_number
from .linear import sizes
from .module import Module
from .parameter import Parameter
from .sample import Sample, integers, uniform


class EmbeddingBag(Module):
    """A table of vectors: the result holds a sum, mean or maximum of rows for each bag.

    It is an `Embedding` and a reduction; see `plait.embedding_bag`.

    Args:
        num_embeddings: how many vectors there are.
        embedding_dim: the size of each.
        max_norm: vectors that are looked up and have a greater norm are first scaled
            down to it. That changes the table, in evaluation mode as well.
        norm_type: p of that norm, the p-th root of the sum of abs(x) ** p.
        scale_grad_by_freq: divide the gradient of a vector by how often it was looked
            up in the same call; not with mode "max".
        mode: "sum", "mean" or "max".
        sparse: must be false: gradients are dense. It is here to keep PyTorch's order.
        _weight: the table, shape (num_embeddings, embedding_dim). Default: new values.
        include_last_offset: offsets have one more number, where the last bag ends.
        padding_idx: the number of a vector that is left out of its bag: it is 0 at
            first and gets no gradient.
        device, dtype: of the table. Default: the CPU, float32.

    Attributes:
        weight: shape (num_embeddings, embedding_dim); at first N(0, 1).

    Input: integers, shape (bags, rows of each); or shape (rows,), and offsets, which
    say where in them each bag begins, shape (bags,); and with mode "sum", if wanted,
    `per_sample_weights`, a factor for each row. Result: shape (bags, embedding_dim),
    0 for a bag without rows.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: `_weight` has another shape; (calling it) the shapes do not fit.
        DTypeError: (calling it) the input is not of integers.
        IndexingError: (calling it) a number is out of range.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "EmbeddingBag"
        sizes(name, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if sparse:
            raise ArgumentError(
                f"[{name}] there are no sparse gradients",
                got="sparse=True",
                fix="leave it out: the gradients are the same, but dense",
            )
        if max_norm is not None and not max_norm > 0:
            raise ArgumentError(
                f"[{name}] max_norm must be above 0", got=f"max_norm={max_norm}"
            )
        if mode not in ("sum", "mean", "max"):
            raise ArgumentError(
                f"[{name}] there is no such mode",
                got=repr(mode),
                expected="sum, mean, max",
            )
        if scale_grad_by_freq and mode == "max":
            raise ArgumentError(
                f"[{name}] scale_grad_by_freq is for sums and means", got="mode='max'"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.padding_idx = row_number(name, padding_idx, num_embeddings)
        shape = (num_embeddings, embedding_dim)
        if _weight is not None and _weight.shape != shape:
            raise ShapeError(
                f"[{name}] the table does not have one row for each number",
                got=str(_weight.shape),
                expected=str(shape),
            )
        if _weight is not None:
            self.weight = Parameter(_weight)
        else:
            self.weight = Parameter(plait.empty(shape, device=device, dtype=dtype))
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """Return a layer whose table is `embeddings`.

        Args:
            embeddings: shape (num_embeddings, embedding_dim).
            freeze: do not train the table.
            max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset,
                padding_idx: those of the layer.

        Raises:
            ShapeError: the table has not two axes.
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                "[EmbeddingBag] the table must have two axes", got=str(embeddings.shape)
            )
        rows, features = embeddings.shape
        new = cls(
            rows, features, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            embeddings, include_last_offset, padding_idx,
        )  # fmt: skip
        new.weight.requires_grad_(not freeze)
        return new

    def reset_parameters(self) -> None:
        """Set the table to new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = plait.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = plait.where(rows.unsqueeze(1), 0.0, self.weight.detach())

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        if self.max_norm is not None:
            limit_rows(self.weight, input, self.max_norm, self.norm_type)
        table: Tensor = self.weight
        if self.scale_grad_by_freq:
            counts = row_counts(input, self.num_embeddings, table.dtype)
            share = (1 / plait.maximum(counts, 1.0)).unsqueeze(-1)
            fixed = table.detach()
            table = fixed + (table - fixed) * share
        return plait.embedding_bag(
            input, table, offsets, per_sample_weights, mode=self.mode,
            padding_idx=self.padding_idx, include_last_offset=self.include_last_offset,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2.0:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += ", scale_grad_by_freq=True"
        text += f", mode={self.mode!r}"
        return text + (
            f", padding_idx={self.padding_idx}" if self.padding_idx is not None else ""
        )

    @staticmethod
    def samples() -> list[Sample]:
        bags = integers(3, 4, high=5)
        rows, offsets = integers(9, high=5), np.array([0, 2, 2, 7])
        ended = np.array([0, 2, 2, 9])
        return [
            Sample((bags,), (5, 3), wrt=()),
            Sample((bags,), (5, 3), {"mode": "max"}, wrt=()),
            Sample(
                (rows, offsets), (5, 2), {"mode": "sum", "padding_idx": 1}, wrt=(),
                separable=False,
            ),
            Sample((rows, offsets), (5, 2), wrt=(), separable=False),
            Sample((rows, offsets), (5, 2), {"mode": "max"}, wrt=(), separable=False),
            Sample(
                (rows, ended), (5, 2), {"include_last_offset": True}, wrt=(),
                separable=False,
            ),
            Sample(
                (rows, offsets, uniform(9)), (5, 2), {"mode": "sum"}, wrt=(2,),
                separable=False,
            ),
            # Its gradient in PyTorch takes the frequencies of other rows.
            Sample(
                (bags,), (5, 2), {"scale_grad_by_freq": True}, wrt=(), smooth=False,
                like_torch="never",
            ),
        ]  # fmt: skip
