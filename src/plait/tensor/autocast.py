"""Mixed precision: which ops take operands of 16 bits, and which of 32.

Products and convolutions take most of the time and bear rounded operands, as their sums
are of 32 bits. Sums over many elements, and functions with a steep slope, do not. All
others compute in the types they are given.

Read first: `cast_operands`.

Source: P. Micikevicius et al., "Mixed precision training", 2018; PyTorch, the op lists
of torch.autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtypes import DType, bfloat16, float16, float32
from ..ir.graph import Node
from ..ops import elementwise

# By their public names.
LOWERED = frozenset({
    "bilinear", "convolution", "convolution_transposed", "einsum", "linear", "matmul",
    "outer", "scaled_dot_product_attention", "tensordot", "vecdot",
})  # fmt: skip
RAISED = frozenset({
    "acos", "asin", "cosh", "cosine_similarity", "cumulative_prod", "cumulative_sum",
    "erfinv", "exp", "exp2", "expm1", "gumbel_softmax", "log", "log10", "log1p", "log2",
    "log_softmax", "logaddexp", "logsumexp", "mean", "normalize", "pow", "prod",
    "reciprocal", "rsqrt", "sinh", "softmax", "softmin", "softplus", "sparsemax", "std",
    "sum", "tan", "trace", "var",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss",
    "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "pairwise_distance", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss",
    "triplet_margin_loss", "log_cosh_loss", "mape_loss", "msle_loss", "hinge_loss",
    "squared_hinge_loss", "categorical_hinge_loss", "contrastive_loss", "dice_loss",
    "tversky_loss", "focal_loss", "sigmoid_focal_loss", "poly_loss",
    "generalized_cross_entropy", "sparsemax_loss", "circle_loss", "nt_xent_loss",
    "ranking_softmax_loss",
})  # fmt: skip
# Of 32 bits inside; the result has the type of what is normalized, whatever those of
# scale and shift are.
KEPT = frozenset({
    "batch_norm", "batch_norm_training", "group_norm", "layer_norm", "rms_norm"
})  # fmt: skip


def cast_operands(
    name: str | None, arguments: Sequence[Any], dtype: DType
) -> Sequence[Any]:
    """Return the operands of an op as it is to have them under `autocast(dtype)`."""
    if name in LOWERED:
        return [_cast(x, float32, dtype) for x in arguments]
    if name in RAISED:
        return [_cast(x, dtype, float32) for x in arguments]
    return arguments


def cast_result(name: str | None, arguments: Sequence[Any], result: Any) -> Any:
    """Return the result of an op as it is to be under `autocast`."""
    if name not in KEPT:
        return result
    dtype = arguments[0].dtype
    if dtype not in (bfloat16, float16):
        return result
    if isinstance(result, Node):
        return elementwise.cast(result, dtype)
    return (elementwise.cast(result[0], dtype), *result[1:])


def _cast(x: Any, old: DType, new: DType) -> Any:
    if isinstance(x, (list, tuple)):
        return [_cast(item, old, new) for item in x]
    if isinstance(x, Node) and x.dtype is old and not x.weak:
        return elementwise.cast(x, new)
    return x
