"""Tables of vectors, looked up by number: one by one, or bags of several at once.

Read first: `Embedding`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Positive, Size
from ..errors import ArgumentError, ShapeError
from . import init
from .module import Module
from .parameter import Parameter, own_parameter
from .sample import Sample, integers, uniform


class _Table(Module):
    """A table of vectors of which some are looked up at each call."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: Size,
        embedding_dim: Size,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if sparse:
            raise ArgumentError(
                f"[{name}] there are no sparse gradients",
                got="sparse=True",
                fix="leave it out: the gradients are the same, but dense",
            )
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"[{name}] padding_idx numbers no row",
                    got=f"padding_idx={padding_idx} of {num_embeddings} rows",
                )
            padding_idx %= num_embeddings
        shape = (num_embeddings, embedding_dim)
        if weight is not None and weight.shape != shape:
            raise ShapeError(
                f"[{name}] _weight does not have one row for each number",
                got=str(weight.shape),
                expected=str(shape),
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        if weight is not None:
            self.weight = Parameter(weight)
        else:
            own_parameter(self, "weight", shape, device, dtype)
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the table to new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = plait.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = plait.where(rows.unsqueeze(1), 0.0, self.weight.detach())

    def _limit(self, input: Tensor) -> None:
        """Scale down the rows that are looked up and have too great a norm."""
        if self.max_norm is None:
            return
        values = self.weight.detach()
        rows = plait.embedding(input, values)
        norms = rows.norm(self.norm_type, axis=-1, keepdims=True)
        # As in PyTorch, a little below the limit, so that it is not exceeded again.
        smaller = rows * (self.max_norm / (norms + 1e-7))
        rows = plait.where(norms > self.max_norm, smaller, rows)
        self.weight.data = plait.index_copy(values, input, rows, axis=0)

    def _counts(self, input: Tensor) -> Tensor:
        """Return how often each row is looked up."""
        none = plait.zeros(self.num_embeddings, dtype=self.weight.dtype)
        return plait.index_add(none, input, 1.0, axis=0)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


def _table_shape(layer: str, table: Tensor) -> tuple[int, int]:
    """Return the rows and columns of a table that is given.

    Raises:
        ShapeError: it has not two axes.
    """
    if table.ndim != 2:
        raise ShapeError(
            f"[{layer}] the table must have two axes", got=str(table.shape)
        )
    rows, features = table.shape
    return rows, features


class Embedding(_Table):
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
        num_embeddings: Size,
        embedding_dim: Size,
        padding_idx: int | None = None,
        max_norm: Positive | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type,
            scale_grad_by_freq, sparse, _weight, device, dtype,
        )  # fmt: skip
        self.weight.requires_grad_(not _freeze)

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
        rows, features = _table_shape("Embedding", embeddings)
        return cls(
            rows, features, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, embeddings, freeze,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        self._limit(input)
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
        share = 1 / plait.take(self._counts(input), input).unsqueeze(-1)
        fixed = result.detach()
        return fixed + (result - fixed) * share

    def extra_repr(self) -> str:
        return super().extra_repr() + self._unusual(
            padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False
        )

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


class EmbeddingBag(_Table):
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
        num_embeddings: Size,
        embedding_dim: Size,
        max_norm: Positive | None = None,
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
        name = "EmbeddingBag"
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
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type,
            scale_grad_by_freq, sparse, _weight, device, dtype,
        )  # fmt: skip
        self.mode = mode
        self.include_last_offset = include_last_offset

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
        rows, features = _table_shape("EmbeddingBag", embeddings)
        new = cls(
            rows, features, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            embeddings, include_last_offset, padding_idx,
        )  # fmt: skip
        new.weight.requires_grad_(not freeze)
        return new

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        self._limit(input)
        table: Tensor = self.weight
        if self.scale_grad_by_freq:
            share = (1 / plait.maximum(self._counts(input), 1.0)).unsqueeze(-1)
            fixed = table.detach()
            table = fixed + (table - fixed) * share
        return plait.embedding_bag(
            input, table, offsets, per_sample_weights, mode=self.mode,
            padding_idx=self.padding_idx, include_last_offset=self.include_last_offset,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = super().extra_repr() + self._unusual(
            max_norm=None, norm_type=2.0, scale_grad_by_freq=False
        )
        return f"{text}, mode={self.mode!r}" + self._unusual(padding_idx=None)

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
