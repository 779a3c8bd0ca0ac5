"""A layer that blurs images.

Read first: `RandomGaussianBlur`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from ..spatial import each_axis
from .augmentation import Augmentation, Factor, chosen, drawn, samples_of, share_of


class RandomGaussianBlur(Augmentation):
    """Blurs images by Gaussian bells of random widths, in training mode.

    Formula: along each axis, sums of pixels weighted by exp(-d ** 2 / (2 s ** 2)) for a
    pixel at distance d, divided by the sum of the weights. Outside, the image is
    mirrored, without repeating the edge.

    Args:
        factor: the probability that an image is blurred.
        kernel_size: how many pixels are summed along an axis, an odd number; or one for
            the height and one for the width.
        sigma: s, in pixels; two numbers to draw between, or one for all images.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, an even size, a sigma not above 0.
        ShapeError: (calling it) half the kernel is larger than the image less a pixel.
    """

    _shown = ("factor", "kernel_size", "sigma")

    def __init__(
        self,
        factor: float = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: Factor = 1.0,
    ) -> None:
        super().__init__()
        name = "RandomGaussianBlur"
        self.factor = share_of(name, "factor", factor)
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, 2, 1)
        low, high = sigma if isinstance(sigma, Sequence) else (sigma, sigma)
        if not 0 < low <= high or any(size % 2 == 0 for size in self.kernel_size):
            raise ArgumentError(
                f"[{name}] sizes are odd, and sigma is above 0",
                got=f"kernel_size={kernel_size!r}, sigma={sigma!r}",
            )
        self.sigma = (float(low), float(high))

    def _changed(self, images: Tensor) -> Tensor:
        n = len(images)
        sigma = drawn(n, *self.sigma, images)
        blurred = images
        for axis, size in zip((2, 3), self.kernel_size, strict=True):
            blurred = _summed(blurred, axis, size, sigma)
        return plait.where(chosen(n, self.factor), blurred, images)

    @staticmethod
    def samples() -> list[Sample]:
        uneven = {"factor": 0.5, "kernel_size": (5, 1), "sigma": (0.5, 2.0)}
        return samples_of({}, uneven)


def _summed(images: Tensor, axis: int, size: int, sigma: Tensor) -> Tensor:
    """Return the weighted sums along one axis."""
    half, n = size // 2, images.shape[axis]
    widths = [(half, half), (0, 0)] if axis == 2 else [(0, 0), (half, half)]
    padded = plait.pad(images, widths, mode="reflect") if half else images
    total, weights = plait.zeros_like(images), plait.zeros_like(sigma)
    for step in range(size):
        weight = plait.exp(-((step - half) ** 2) / (2 * sigma**2))
        part = (
            padded[:, :, step : step + n] if axis == 2
            else padded[:, :, :, step : step + n]
        )  # fmt: skip
        total, weights = total + weight * part, weights + weight
    return total / weights
