"""NASNet-A: cells of five pairs of branches, found by searching.

Read first: `_Cell`, `NASNet`. Names are those of timm's `nasnetalarge`.

Source: B. Zoph et al., "Learning transferable architectures for scalable image
recognition", 2018.
"""

from __future__ import annotations

from functools import partial

import plait
from plait import Tensor

from .. import nn
from .efficientnet_lite import Conv2dSame
from .layers import ConvNormActivation
from .registry import Input, model

_norm = partial(nn.BatchNorm2d, eps=0.001)


def _same(x: Tensor, window: int) -> list[tuple[int, int]]:
    """Return the padding with which stride 2 halves height and width, rounded up."""
    totals = [max(-(-n // 2) * 2 - 2 + window - n, 0) for n in x.shape[2:]]
    return [(total // 2, total - total // 2) for total in totals]


def _max(x: Tensor) -> Tensor:
    """Return the greatest of 3 x 3 windows, at half the size."""
    return plait.max_pool(x, (3, 3), stride=2, padding=_same(x, 3))


def _mean(x: Tensor) -> Tensor:
    """Return the means of 3 x 3 windows, at half the size; padding counts as 0."""
    padded = plait.pad(x, [(0, 0), (0, 0), *_same(x, 3)])
    return plait.average_pool(padded, (3, 3), stride=2)


def _smooth(x: Tensor) -> Tensor:
    """Return the means of 3 x 3 windows around each place, of what is there."""
    return plait.average_pool(x, (3, 3), stride=1, padding=1, count_include_pad=False)


class _Map(nn.Module):
    """ReLU, a map of the channels, and a normalisation."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.bn = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.conv(plait.relu(x)))
        return result


class _Separable(nn.Module):
    """Windows of one channel each, then a map of the channels."""

    def __init__(self, channels: int, out: int, window: int, stride: int) -> None:
        super().__init__()
        # Where the stride is 1, both paddings are the same.
        kind = Conv2dSame if stride > 1 else nn.Conv2d
        self.depthwise_conv2d = kind(
            channels, channels, window, stride, window // 2, groups=channels, bias=False
        )
        self.pointwise_conv2d = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pointwise_conv2d(self.depthwise_conv2d(x))
        return result


class _Branch(nn.Module):
    """Two separable convolutions, each after a ReLU and before a normalisation."""

    def __init__(self, channels: int, out: int, window: int, stride: int = 1) -> None:
        super().__init__()
        self.separable_1 = _Separable(channels, out, window, stride)
        self.bn_sep_1 = _norm(out)
        self.separable_2 = _Separable(out, out, window, 1)
        self.bn_sep_2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn_sep_1(self.separable_1(plait.relu(x)))
        result: Tensor = self.bn_sep_2(self.separable_2(plait.relu(x)))
        return result


class _Halving(nn.Module):
    """A map of every second pixel, in a module of the name that files have for it."""

    def __init__(self, channels: int, out: int, first: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        # The second path has a row and a column of 0 behind the last ones.
        shifted = plait.pad(x, [(0, 0), (0, 0), (0, self.first), (0, self.first)])
        rows = shifted[:, :, self.first :: 2, self.first :: 2]
        result: Tensor = self.conv(rows)
        return result


class _Cell(nn.Module):
    """What cells have in common: two inputs, brought to the same shape.

    Args:
        before: the channels of the result before the input's.
        channels: of the input.
        out: of each branch.
        halve: whether the result before is twice as high and wide.
        adjust: whether the result before is mapped at all.
    """

    def __init__(
        self, before: int, channels: int, out: int, halve: bool, adjust: bool = True
    ) -> None:
        super().__init__()
        self.halve = halve
        self.adjust = adjust
        if adjust and not halve:
            self.conv_prev_1x1 = _Map(before, out)
        self.conv_1x1 = _Map(channels, out)
        if adjust and halve:
            self.path_1 = _Halving(before, out // 2, 0)
            self.path_2 = _Halving(before, out // 2, 1)
            self.final_path_bn = _norm(out // 2 * 2)

    def pair(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input and what came before it, ready for the branches."""
        if self.halve and self.adjust:
            active = plait.relu(before)
            paths = [self.path_1(active), self.path_2(active)]
            before = self.final_path_bn(plait.concat(paths, axis=1))
        elif self.adjust:
            before = self.conv_prev_1x1(before)
        return self.conv_1x1(x), before


class _Normal(_Cell):
    """A cell that keeps height and width; its result has 6 * out channels."""

    def __init__(self, before: int, channels: int, out: int, halve: bool) -> None:
        super().__init__(before, channels, out, halve)
        self.comb_iter_0_left = _Branch(out, out, 5)
        self.comb_iter_0_right = _Branch(out, out, 3)
        self.comb_iter_1_left = _Branch(out, out, 5)
        self.comb_iter_1_right = _Branch(out, out, 3)
        self.comb_iter_4_left = _Branch(out, out, 3)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.pair(x, before)
        parts = [
            before,
            self.comb_iter_0_left(x) + self.comb_iter_0_right(before),
            self.comb_iter_1_left(before) + self.comb_iter_1_right(before),
            _smooth(x) + before,
            _smooth(before) * 2.0,
            self.comb_iter_4_left(x) + x,
        ]
        return plait.concat(parts, axis=1)


class _Reduction(_Cell):
    """A cell that halves height and width; its result has 4 * out channels."""

    def __init__(
        self, before: int, channels: int, out: int, halve: bool, adjust: bool = True
    ) -> None:
        super().__init__(before, channels, out, halve, adjust)
        other = out if adjust else before
        self.comb_iter_0_left = _Branch(out, out, 5, 2)
        self.comb_iter_0_right = _Branch(other, out, 7, 2)
        self.comb_iter_1_right = _Branch(other, out, 7, 2)
        self.comb_iter_2_right = _Branch(other, out, 5, 2)
        self.comb_iter_4_left = _Branch(out, out, 3)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.pair(x, before)
        first = self.comb_iter_0_left(x) + self.comb_iter_0_right(before)
        second = _max(x) + self.comb_iter_1_right(before)
        parts = [
            second,
            _mean(x) + self.comb_iter_2_right(before),
            _smooth(first) + second,
            self.comb_iter_4_left(first) + _max(x),
        ]
        return plait.concat(parts, axis=1)


class NASNet(nn.Module):
    """NASNet-A: three stages of normal cells, with a reduction cell between stages.

    The greatest of windows at the edge are of what is there, as in the authors' code
    and timm's; Keras's code takes them of what is there and 0.

    Args:
        num_classes: how many classes there are.
        stem_size: the channels of the first convolution.
        cells: how many normal cells a stage has.
        num_features: the channels of the last cell, a multiple of 96.
        skip_reduction: whether the first cell after a reduction cell takes, beside its
            result, not that cell's input but what came before it, as in the large net.
        dropout: the probability of leaving out an input of the last layer.

    Input: shape (n, 3, height, width), at least 32 x 32. Result: shape
    (n, num_classes).

    Source: B. Zoph et al., "Learning transferable architectures for scalable image
    recognition", 2018.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        stem_size: int = 96,
        cells: int = 6,
        num_features: int = 4032,
        skip_reduction: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = num_features // 24
        self.cells = cells
        self.skip_reduction = skip_reduction
        # The layers have names, as those of `ConvNormActivation` have not.
        pieces = ConvNormActivation(
            3, stem_size, 3, 2, 0, norm_layer=_norm, activation_layer=None
        )
        self.conv0 = nn.Sequential(dict(zip(("conv", "bn"), pieces, strict=True)))
        thin = width // 4
        self.cell_stem_0 = _Reduction(stem_size, stem_size, thin, False, adjust=False)
        self.cell_stem_1 = _Reduction(stem_size, 4 * thin, width // 2, True)
        before, channels = 4 * thin, 2 * width
        for stage in range(3):
            halve = True
            out = width * 2**stage
            if stage:
                reduction = _Reduction(before, channels, out, False)
                setattr(self, f"reduction_cell_{stage - 1}", reduction)
                before = before if skip_reduction else channels
                channels = 4 * out
            for i in range(cells):
                cell = _Normal(before, channels, out, halve)
                setattr(self, f"cell_{stage * cells + i}", cell)
                before, channels, halve = channels, 6 * out, False
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv0(x)
        before = self.cell_stem_0(first, first)
        x = self.cell_stem_1(before, first)
        for stage in range(3):
            if stage:
                reduced = getattr(self, f"reduction_cell_{stage - 1}")(x, before)
                before = before if self.skip_reduction else x
                x = reduced
            for i in range(self.cells):
                cell = getattr(self, f"cell_{stage * self.cells + i}")
                before, x = x, cell(x, before)
        x = self.dropout(plait.mean(plait.relu(x), axis=(2, 3)))
        result: Tensor = self.last_linear(x)
        return result


nasnet_large = model(
    "nasnet_large", 88_753_150, "NASNet-A (6 @ 4032)", NASNet,
    input=Input(331, 363, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip
nasnet_mobile = model(
    "nasnet_mobile", 5_289_978, "NASNet-A (4 @ 1056)", NASNet, stem_size=32, cells=4,
    num_features=1056, skip_reduction=False,
    input=Input(224, 256, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip
