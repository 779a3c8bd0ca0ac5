"""What layers with spatial axes share: sizes for each axis, and shapes that fit.

Spatial axes are the last ones. Their number, the *rank*, is in the name of the layer.

Read first: `Spatial`.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .module import Module

_AXES = ("depth", "height", "width")


def each_axis(
    layer: str, name: str, value: Any, rank: int, least: int
) -> tuple[int, ...]:
    """Return one integer for each spatial axis.

    Raises:
        ArgumentError: one is no integer or less than `least`, or there are not `rank`
            of them.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    whole = all(hasattr(n, "__index__") and not isinstance(n, bool) for n in given)
    if not whole or len(given) != rank or any(n < least for n in given):
        raise ArgumentError(
            f"[{layer}] {name} does not fit",
            got=f"{name}={value!r} for {rank} spatial axes",
            expected=f"an integer of at least {least}, or one for each spatial axis",
        )
    return tuple(operator.index(n) for n in given)


class Spatial(Module):
    """A layer over (n, channels, *spatial) or (channels, *spatial).

    Attributes:
        rank: the number of spatial axes.
    """

    rank: ClassVar[int]

    def _each(self, name: str, value: Any, least: int = 0) -> tuple[int, ...]:
        return each_axis(type(self).__name__, name, value, self.rank, least)

    def _conv_padding(
        self, padding: Any, stride: tuple[int, ...]
    ) -> tuple[int, ...] | str:
        """Return the padding of a convolution: one integer for each axis, or a name.

        Raises:
            ArgumentError: it does not fit.
        """
        if not isinstance(padding, str):
            return self._each("padding", padding)
        name = type(self).__name__
        if padding not in ("same", "valid"):
            raise ArgumentError(
                f"[{name}] there is no padding of that name",
                got=repr(padding),
                expected='"same", "valid", or integers',
            )
        if padding == "same" and max(stride) > 1:
            raise ArgumentError(
                f'[{name}] padding="same" needs stride 1',
                got=f"stride={stride}",
                fix="give the padding as integers",
            )
        return padding

    def _check(self, input: Tensor, channels: int | None = None) -> None:
        """Raise unless `input` has a fitting number of axes, and of `channels`."""
        check_shape(type(self).__name__, input.shape, self.rank, channels)


def check_shape(
    layer: str, shape: tuple[int, ...], rank: int, channels: int | None
) -> None:
    """Raise unless a shape has a fitting number of axes, and of `channels`."""
    ndim = len(shape)
    found = shape[-rank - 1] if ndim > rank else None
    if ndim in (rank + 1, rank + 2) and channels in (None, found):
        return
    axes = ("length",) if rank == 1 else _AXES[-rank:]
    named = ", ".join((str(channels or "channels"), *axes))
    raise ShapeError(
        f"[{layer}] the input does not fit",
        got=f"shape {shape}",
        expected=f"(n, {named}) or ({named})",
    )
