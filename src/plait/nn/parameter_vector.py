"""All parameters as one vector, and back.

Read first: `parameters_to_vector`.
"""

from __future__ import annotations

from collections.abc import Iterable

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError, ShapeError


@checked
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return the elements of all parameters, one after another.

    Args:
        parameters: tensors, such as `model.parameters()`.

    Returns:
        Shape (number of elements,). Gradients flow through it.

    Raises:
        ArgumentError: there are none.
    """
    parts = [parameter.reshape(-1) for parameter in parameters]
    if not parts:
        raise ArgumentError("[parameters_to_vector] there are no parameters")
    return plait.concat(parts)


@checked
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set parameters to the elements of a vector, as `parameters_to_vector` made it.

    Args:
        vec: shape (number of elements,); it is cast to the dtypes of the parameters.
        parameters: tensors, such as `model.parameters()`.

    Raises:
        ShapeError: the vector has not as many elements; nothing was changed then.
    """
    targets = list(parameters)
    count = sum(target.size for target in targets)
    if vec.shape != (count,):
        raise ShapeError(
            "[vector_to_parameters] the vector does not fit the parameters",
            got=str(vec.shape),
            expected=f"({count},)",
        )
    parts = plait.split(vec.detach(), [target.size for target in targets])
    for target, part in zip(targets, parts, strict=True):
        target.data = part.reshape(target.shape).to(target.dtype)
