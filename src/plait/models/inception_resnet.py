"""Inception-ResNet v2: branches of several windows, whose mixture is added.

Read first: `_Branches`, `InceptionResNetV2`. Names are those of timm's
`inception_resnet_v2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from .registry import Input, model

# A convolution: out channels, window, stride, padding.
Row = tuple[int, int | tuple[int, int], int, int | tuple[int, int]]


class _Piece(nn.Module):
    """A convolution, a normalisation and ReLU."""

    def __init__(
        self, channels: int, out: int, window: int | tuple[int, int], stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(channels, out, window, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return plait.relu(self.bn(self.conv(x)))


class _Branches(nn.Module):
    """Branches beside one another, whose channels are joined.

    Args:
        channels: of the input.
        branches: the convolutions of each.
        pool: what one more branch, the last, begins with; None: there is none.
        after: the convolution of that branch; None: it has none.
    """

    def __init__(
        self,
        channels: int,
        branches: Sequence[Sequence[Row]],
        pool: nn.Module | None = None,
        after: Row | None = None,
    ) -> None:
        super().__init__()
        self.count = len(branches)
        for i, rows in enumerate(branches):
            pieces, width = [], channels
            for row in rows:
                pieces.append(_Piece(width, *row))
                width = row[0]
            whole = pieces[0] if len(pieces) == 1 else nn.Sequential(*pieces)
            setattr(self, f"branch{i}", whole)
        if pool is not None:
            rest = [] if after is None else [_Piece(channels, *after)]
            last = nn.Sequential(pool, *rest) if rest else pool
            setattr(self, f"branch{self.count}", last)
            self.count += 1

    def forward(self, x: Tensor) -> Tensor:
        parts = [getattr(self, f"branch{i}")(x) for i in range(self.count)]
        return plait.concat(parts, axis=1)


class _Residual(_Branches):
    """Branches whose mixture, made smaller, is added to the input.

    Args:
        channels, branches: of `_Branches`.
        scale: what the mixture is multiplied by.
        active: whether ReLU comes last.
    """

    def __init__(
        self,
        channels: int,
        branches: Sequence[Sequence[Row]],
        scale: float,
        active: bool = True,
    ) -> None:
        super().__init__(channels, branches)
        joined = sum(rows[-1][0] for rows in branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale = scale
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2d(super().forward(x)) * self.scale + x
        return plait.relu(x) if self.active else x


def _one(out: int) -> Row:
    return (out, 1, 1, 0)


def _three(out: int) -> Row:
    return (out, 3, 1, 1)


def _half(out: int) -> Row:
    return (out, 3, 2, 0)


_35 = ((_one(32),), (_one(32), _three(32)), (_one(32), _three(48), _three(64)))
_17 = ((_one(192),), (_one(128), (160, (1, 7), 1, (0, 3)), (192, (7, 1), 1, (3, 0))))
_8 = ((_one(192),), (_one(192), (224, (1, 3), 1, (0, 1)), (256, (3, 1), 1, (1, 0))))


class InceptionResNetV2(nn.Module):
    """Inception-ResNet v2.

    Args:
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last layer.
        repeats: how many residual blocks there are of each of the three kinds.

    Input: shape (n, 3, height, width), at least 75 x 75. Result: shape
    (n, num_classes).

    Source: C. Szegedy et al., "Inception-v4, Inception-ResNet and the impact of
    residual connections on learning", 2017.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.0,
        repeats: tuple[int, int, int] = (10, 20, 9),
    ) -> None:
        super().__init__()
        self.conv2d_1a = _Piece(3, 32, 3, 2)
        self.conv2d_2a = _Piece(32, 32, 3)
        self.conv2d_2b = _Piece(32, 64, 3, 1, 1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = _Piece(64, 80, 1)
        self.conv2d_4a = _Piece(80, 192, 3)
        self.maxpool_5a = nn.MaxPool2d(3, 2)
        self.mixed_5b = _Branches(
            192,
            (
                (_one(96),), (_one(48), (64, 5, 1, 2)),
                (_one(64), _three(96), _three(96)),
            ),
            nn.AvgPool2d(3, 1, 1, count_include_pad=False), _one(64),
        )  # fmt: skip
        first, second, third = repeats
        self.repeat = nn.Sequential(*(_Residual(320, _35, 0.17) for _ in range(first)))
        self.mixed_6a = _Branches(
            320, ((_half(384),), (_one(256), _three(256), _half(384))),
            nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.repeat_1 = nn.Sequential(
            *(_Residual(1088, _17, 0.1) for _ in range(second))
        )
        self.mixed_7a = _Branches(
            1088,
            (
                (_one(256), _half(384)), (_one(256), _half(288)),
                (_one(256), _three(288), _half(320)),
            ),
            nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.repeat_2 = nn.Sequential(*(_Residual(2080, _8, 0.2) for _ in range(third)))
        self.block8 = _Residual(2080, _8, 1.0, active=False)
        self.conv2d_7b = _Piece(2080, 1536, 1)
        self.dropout = nn.Dropout(dropout)
        self.classif = nn.Linear(1536, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x)))
        x = self.repeat(self.mixed_5b(self.maxpool_5a(x)))
        x = self.repeat_2(self.mixed_7a(self.repeat_1(self.mixed_6a(x))))
        x = plait.mean(self.conv2d_7b(self.block8(x)), axis=(2, 3))
        result: Tensor = self.classif(self.dropout(x))
        return result


inception_resnet_v2 = model(
    "inception_resnet_v2", 55_843_464, "Inception-ResNet v2", InceptionResNetV2,
    input=Input(299, 333, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip
