"""What users call; the work is in the modules beside, imported when it is asked for.

Read first: `export`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..late import late

if TYPE_CHECKING:
    from . import folder, weights
else:
    folder = late("plait.export.folder")
    weights = late("plait.export.weights")


def export(
    source: Any,
    path: str | os.PathLike[str],
    *,
    inputs: Any,
    target: Any = None,
    rows: Sequence[int] | int | None = None,
    targets: Sequence[str] | str = ("wasm",),
    features: Sequence[str] = ("simd", "relaxed", "threads"),
    evaluate: bool = False,
    quantize: str | None = None,
    single_file: bool = False,
    page: bool = True,
    labels: Sequence[str] | None = None,
    notes: Mapping[str, Any] | None = None,
    name: str | None = None,
    quiet: bool = False,
) -> None:
    """Write a model, or a training step, as files that other programs run.

    What is written for the web is a folder with programs (WebAssembly), weights
    (safetensors), a manifest, and the script that loads them:

        import { load } from "./plait.js";
        const net = await load(".");
        const scores = net.predict(pixels);

    Args:
        source: a `Module`, which becomes the function `predict`, in evaluation mode; a
            `train.TrainStep`, which becomes `predict` and `train_step`; or a function
            of tensors, which becomes one of its own name.
        path: the folder; with `single_file` the file, such as "digits.html". A folder
            is made if it is not there, and may hold an older export.
        inputs: what the model takes, as an example: a tensor, an array, or a shape for
            float32; a list of them, also nested, for several; a dict by names of
            arguments. Values do not matter. For a training step the first axis is the
            size of its batches.
        target: of a training step: what its loss function takes besides the output, as
            an example.
        rows: how many rows `predict` is made for; several numbers make several
            programs, of which the script takes what fits, and it splits and pads, so
            that any number of rows can be given. Each row must not depend on others.
            Default: exactly as many as `inputs` has.
        targets: "wasm"; "webgpu", which brings wasm too; "c" for an object file and a
            header for this kind of processor, or "c:avx2", "c:neon" and the like.
        features: the builds of wasm: "simd" for every browser, "relaxed" with a faster
            multiply-add, "threads" for several cores. The script takes the best that
            the browser has.
        evaluate: make another function of a training step, `evaluate`: in evaluation
            mode it takes what `train_step` takes, without hyperparameters, returns the
            same, and changes no weights. `evaluate` of `fit.js` says the loss with it.
        quantize: store matrices with 16 bits ("f16") or 8 bits and a scale for each
            row ("int8"). They are expanded when loaded, so nothing gets slower.
        single_file: write one .html file that works by itself.
        page: write an index.html that shows what the model does.
        labels: the names of classes, for pages.
        notes: what else pages are to know, as JSON: it is in the manifest, which a page
            has as `net.manifest.notes`. With "words" or "letters", lists of what the
            numbers of an input stand for, `index.html` takes texts.
        name: of the export. Default: that of the model's class, or of the function.
        quiet: print nothing.

    Raises:
        ArgumentError: an argument does not fit; the folder holds something else; or
            an op cannot be exported, which the message names, with its line.
        ArgumentTypeError: an input is neither array nor shape.

    Example:
        >>> import plait, tempfile
        >>> from plait import nn
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> folder = tempfile.mkdtemp()
        >>> plait.export(model, folder, inputs=(16, 4), features=["simd"], quiet=True)
    """
    folder.write_export(
        source, path, inputs, target, rows, targets, features, evaluate,
        folder.Options(quantize, single_file, page, labels, notes, name, quiet),
    )  # fmt: skip


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state of an export as tensors by name, quantized weights expanded.

    Args:
        path: the folder of an export, or a file that a page has saved.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged.
    """
    return weights.load_state(path)
