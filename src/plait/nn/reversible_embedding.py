"""A table of vectors that is read both ways.

Read first: `ReversibleEmbedding`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from . import init
from .embedding import Embedding
from .parameter import Parameter, own_parameter
from .sample import Sample, integers


class ReversibleEmbedding(Embedding):
    """A table of vectors that also goes back, from vectors to one score for each row.

    So a language model may share the table of its first layer with its last.

    Formula: forward, the rows numbered by the input. Backward (`reverse=True`),
    x @ table.T, and with a cap s, s * tanh(x @ table.T / s).

    Args:
        num_embeddings: how many vectors there are.
        embedding_dim: the size of each.
        tie_weights: the table of the way back is the same.
        logit_soft_cap: scores of the way back stay between -s and s. Default: no limit.
        padding_idx: that of `Embedding`.
        dtype: of the tables. Default: float32.

    Attributes:
        weight: shape (num_embeddings, embedding_dim); at first N(0, 1).
        reverse_weight: of the same shape and N(0, 1) too, if the weights are not tied;
            or None.

    Input: integers of any shape. Result: that shape, then embedding_dim. In reverse:
    shape (..., embedding_dim), and (..., num_embeddings).

    Raises:
        ArgumentError: a setting has a wrong value.

    Source: O. Press, L. Wolf, "Using the output embedding to improve language models",
    2017.
    """

    reverse_weight: Parameter | None

    def __init__(
        self,
        num_embeddings: Size,
        embedding_dim: Size,
        tie_weights: bool = True,
        logit_soft_cap: float | None = None,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, device=device, dtype=dtype
        )
        self.tie_weights = tie_weights
        self.logit_soft_cap = logit_soft_cap
        shape = None if tie_weights else (num_embeddings, embedding_dim)
        own_parameter(self, "reverse_weight", shape, device, dtype)
        if self.reverse_weight is not None:
            init.normal_(self.reverse_weight)

    def reset_parameters(self) -> None:
        """Set the tables to new initial values."""
        super().reset_parameters()
        # `Embedding` calls this before there is a second table.
        reverse = vars(self).get("reverse_weight")
        if reverse is not None:
            init.normal_(reverse)

    def forward(self, input: Tensor, reverse: bool = False) -> Tensor:
        """Return rows, or scores of all rows.

        Args:
            input: see the class.
            reverse: go back.

        Raises:
            DTypeError: the input is not of integers, or in reverse not of numbers that
                go with the table.
            ShapeError: in reverse, the features do not fit.
        """
        if not reverse:
            return super().forward(input)
        table = self.weight if self.reverse_weight is None else self.reverse_weight
        scores = plait.linear(input, table)
        if self.logit_soft_cap is None:
            return scores
        return self.logit_soft_cap * plait.tanh(scores / self.logit_soft_cap)

    def extra_repr(self) -> str:
        text = f"{super().extra_repr()}, tie_weights={self.tie_weights}"
        if self.logit_soft_cap is not None:
            text += f", logit_soft_cap={self.logit_soft_cap}"
        return text

    @staticmethod
    def samples() -> list[Sample]:
        def forward(layer: ReversibleEmbedding, ids: np.ndarray) -> np.ndarray:
            result: np.ndarray = layer.weight.numpy()[ids]
            return result

        return [
            Sample((integers(3, 4, high=5),), (5, 3), wrt=(), reference=forward),
            Sample((integers(3, 4, high=5),), (5, 3, False), wrt=(), reference=forward),
        ]
