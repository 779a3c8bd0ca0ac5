"""U-Net: a picture is made small and large again, and each size is kept for the way up.

Read first: `UNet`. Names are those of the PyTorch code by A. Milesi ("Pytorch-UNet").
"""

from __future__ import annotations

import plait
from plait import Tensor

from .. import nn
from .registry import model


class _Double(nn.Module):
    """Twice a 3 x 3 convolution, a normalisation and ReLU."""

    def __init__(self, channels: int, out: int, middle: int | None = None) -> None:
        super().__init__()
        inner = middle or out
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.double_conv(x)
        return result


class _Down(nn.Module):
    """Half the size, and more channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _Double(channels, out))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.maxpool_conv(x)
        return result


class _Up(nn.Module):
    """Twice the size, beside what was there on the way down, and fewer channels."""

    def __init__(self, channels: int, out: int, bilinear: bool) -> None:
        super().__init__()
        if bilinear:
            self.up: nn.Module = nn.Upsample(
                scale_factor=2, mode="bilinear", align_corners=True
            )
            self.conv = _Double(channels, out, channels // 2)
        else:
            self.up = nn.ConvTranspose2d(channels, channels // 2, 2, 2)
            self.conv = _Double(channels, out)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        x = self.up(x)
        # Odd sizes have lost a row or a column.
        lost = [n - m for n, m in zip(kept.shape[2:], x.shape[2:], strict=True)]
        widths = [(0, 0), (0, 0), *[(n // 2, n - n // 2) for n in lost]]
        result: Tensor = self.conv(plait.concat([kept, plait.pad(x, widths)], axis=1))
        return result


class _Out(nn.Module):
    """A map of the channels to classes."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class UNet(nn.Module):
    """U-Net: says for each pixel of a picture what it belongs to.

    Convolutions are padded, so that the result has the size of the picture, and
    normalised, which the paper's are not.

    Args:
        n_channels: of the picture.
        num_classes: how many classes there are.
        bilinear: whether sizes are doubled by interpolation in place of a transposed
            convolution.
        width: the channels of the first convolutions; deeper ones have 2, 4, 8 and 16
            times as many.

    Input: shape (n, n_channels, height, width), at least 16 x 16. Result: shape
    (n, num_classes, height, width).

    Source: O. Ronneberger et al., "U-Net: convolutional networks for biomedical image
    segmentation", 2015.
    """

    def __init__(
        self,
        num_classes: int = 2,
        n_channels: int = 3,
        bilinear: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__()
        part = 2 if bilinear else 1
        self.inc = _Double(n_channels, width)
        self.down1 = _Down(width, 2 * width)
        self.down2 = _Down(2 * width, 4 * width)
        self.down3 = _Down(4 * width, 8 * width)
        self.down4 = _Down(8 * width, 16 * width // part)
        self.up1 = _Up(16 * width, 8 * width // part, bilinear)
        self.up2 = _Up(8 * width, 4 * width // part, bilinear)
        self.up3 = _Up(4 * width, 2 * width // part, bilinear)
        self.up4 = _Up(2 * width, width, bilinear)
        self.outc = _Out(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, kept.pop())
        result: Tensor = self.outc(x)
        return result


unet = model("unet", 31_037_698, "U-Net for segmentation", UNet, classes=2, input=None)
