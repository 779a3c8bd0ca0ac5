"""Pictures of a training: curves, confusion matrices, filters, images side by side.

Each function returns a figure of matplotlib, which a notebook shows, and writes it to a
file if one is named. matplotlib is needed for these pictures and for nothing else.

Read first: `learning_curves`, `images`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, ShapeError, optional

# Sizes are in inches, as matplotlib counts; 150 points to the inch in a file.
_DPI = 150
_CELL = 0.62
_GREY = "#777777"


def _new_figure(width: float, height: float) -> Any:
    # Without pyplot: no window system is looked for, and no figure stays in memory.
    figure = optional("matplotlib.figure", "plot", "draw pictures")
    return figure.Figure(figsize=(width, height), layout="constrained")


def _finished(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    if path is not None:
        try:
            figure.savefig(path, dpi=_DPI)
        except ValueError as error:  # of a name without an ending that it knows
            raise ArgumentError(
                "[plots] the name of the file does not say what kind it is to be",
                got=os.fspath(path),
                expected="a name that ends in .png, .pdf or .svg",
            ) from error
    return figure


def _tidy(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)


def learning_curves(
    records: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str] | None = None,
    *,
    over: str = "epoch",
) -> Any:
    """Draw how each measure went: one graph for the loss, one for each metric.

    A measure of an evaluation, `test_loss`, is drawn in the graph of the training's,
    `loss`. What is not a number, and times, are left out.

    Args:
        records: what `plait.train.fit` returns: a dictionary for each epoch.
        path: a file to write, ending in .png, .pdf or .svg.
        over: the entry that is the horizontal axis.

    Raises:
        ArgumentError: there are no records.
    """
    if not records:
        raise ArgumentError("[learning_curves] there are no records to draw")
    names = [
        name
        for name, value in records[-1].items()
        if isinstance(value, (int, float))
        and name not in (over, "step", "seconds", "samples_per_second")
    ]
    groups: dict[str, list[str]] = {}
    for name in names:
        whole = [one for one in names if name.endswith("_" + one)]
        groups.setdefault(min(whole, key=len) if whole else name, []).append(name)
    figure = _new_figure(4.6 * max(len(groups), 1), 3.2)
    graphs = figure.subplots(1, max(len(groups), 1), squeeze=False)[0]
    for axes, (title, members) in zip(graphs, groups.items(), strict=False):
        for name in members:
            steps = [record[over] for record in records if name in record]
            values = [record[name] for record in records if name in record]
            marker = "o" if len(steps) <= 30 else ""
            prefix = name.removesuffix(title).rstrip("_")
            axes.plot(
                steps, values, marker=marker, markersize=3.5, label=prefix or "training"
            )
        axes.set_title(title.replace("_", " "), loc="left")
        axes.set_xlabel(over)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(members) > 1:
            axes.legend(frameon=False)
        _tidy(axes)
    return _finished(figure, path)


def confusion_matrix(
    counts: NDArray[Any],
    names: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw which classes are taken for which.

    Colours are shares of each row, so that a rare class is seen as well; the numbers
    are counts.

    Args:
        counts: shape (classes, classes): rows are the right classes, columns the
            predicted ones, as `plait.metrics.ConfusionMatrix` gives.
        names: of the classes. Default: their numbers.
        path: a file to write, ending in .png, .pdf or .svg.

    Raises:
        ShapeError: the matrix is not square, or there are not as many names.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(
            "[confusion_matrix] the counts are not a square matrix",
            got=str(counts.shape),
            expected="(classes, classes)",
        )
    classes = len(counts)
    names = [str(i) for i in range(classes)] if names is None else list(names)
    if len(names) != classes:
        raise ShapeError(
            "[confusion_matrix] there are not as many names as classes",
            got=f"{len(names)} names for {classes} classes",
        )
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    longest = max((len(name) for name in names), default=1)
    side = 1.2 + _CELL * classes + 0.07 * longest
    figure = _new_figure(side + 0.6, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(classes):
        for column in range(classes):
            if counts[row, column]:
                axes.text(
                    *(column, row, f"{counts[row, column]:g}"),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[row, column] > 0.5 else "black",
                )
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(classes), names, **(turned if longest > 3 else {}))
    axes.set_yticks(range(classes), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("right")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the right class")
    return _finished(figure, path)


def filters(weight: Any, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw the weights of a first layer, as the pictures that excite its units.

    Three input channels are drawn in colour, each filter scaled to its own range; other
    numbers of channels as a grey picture each, with 0 in the middle of the scale.

    Args:
        weight: of a convolution, shape (outputs, channels, height, width), or of a
            linear layer over square pictures, shape (outputs, side * side).
        path: a file to write, ending in .png, .pdf or .svg.

    Raises:
        ShapeError: the weight has another shape.
    """
    weight = _as_array(weight)
    if weight.ndim == 2:
        side = math.isqrt(weight.shape[1])
        if side * side == weight.shape[1]:
            weight = weight.reshape(len(weight), 1, side, side)
    if weight.ndim != 4 or 0 in weight.shape:
        raise ShapeError(
            "[filters] the weight is not one of pictures",
            got=str(weight.shape),
            expected="(outputs, channels, height, width) or (outputs, side * side)",
        )
    if weight.shape[1] == 3:
        low = weight.min((1, 2, 3), keepdims=True)
        high = weight.max((1, 2, 3), keepdims=True)
        pictures = (weight - low) / np.maximum(high - low, 1e-12)
        return images(pictures.transpose(0, 2, 3, 1), path=path)
    greys = weight.reshape(-1, *weight.shape[2:])
    most = np.maximum(np.abs(greys).max((1, 2), keepdims=True), 1e-12)
    return images(0.5 + greys / (2 * most), path=path)


def images(
    pictures: Any,
    titles: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    columns: int | None = None,
    size: float | None = None,
) -> Any:
    """Draw pictures side by side.

    Args:
        pictures: a sequence of arrays, each of shape (height, width) or (height, width,
            3), uint8 or from 0 to 1. Numbers beyond are cut off.
        titles: a line above each.
        path: a file to write, ending in .png, .pdf or .svg.
        columns: how many in a row. Default: about as many as rows, for more than five.
        size: width of each, in inches.

    Raises:
        ArgumentError: there are no pictures, or not as many titles.
        ShapeError: one has another shape.
    """
    arrays = [_as_array(picture) for picture in pictures]
    if not arrays:
        raise ArgumentError("[images] there are no pictures to draw")
    if titles is not None and len(titles) != len(arrays):
        raise ArgumentError(
            "[images] there are not as many titles as pictures",
            got=f"{len(titles)} titles for {len(arrays)} pictures",
        )
    for array in arrays:
        is_picture = array.ndim == 2 or array.shape[2:] == (3,)
        if not is_picture or 0 in array.shape:
            raise ShapeError(
                "[images] this is no picture",
                got=f"an array of shape {array.shape}",
                expected="(height, width) or (height, width, 3)",
            )
    if columns is None:
        columns = len(arrays) if len(arrays) <= 5 else math.ceil(len(arrays) ** 0.5)
    rows = -(-len(arrays) // columns)
    if size is None:
        size = 3.2 if len(arrays) <= 5 else 0.8
    ratio = max(array.shape[0] / array.shape[1] for array in arrays)
    space = 0.3 if titles is not None else 0.0
    figure = _new_figure(columns * size, rows * (size * ratio + space))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.set_axis_off()
    for i, (cell, array) in enumerate(zip(cells, arrays, strict=False)):
        if array.dtype.kind != "u":
            array = np.clip(np.nan_to_num(array), 0, 1)
        scale: dict[str, Any] = {}  # matplotlib would stretch greys to their range
        if array.ndim == 2:
            most = 255 if array.dtype.kind == "u" else 1
            scale = {"cmap": "gray", "vmin": 0, "vmax": most}
        cell.imshow(array, interpolation="nearest", **scale)
        if titles is not None:
            cell.set_title(titles[i], fontsize=8, color=_GREY)
    return _finished(figure, path)


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    array = np.asarray(value)
    return array if array.dtype.kind == "u" else array.astype(np.float32)
