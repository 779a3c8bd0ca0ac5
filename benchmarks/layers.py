"""Layers, losses and functions, one by one: forward and backward at usual sizes.

usage: python benchmarks/layers.py [--quick] [--peers A,B] [--threads 1,2] [--write] ...

Each is called with tensors that lie there, and gives its result, the gradients of its
inputs (not of labels) and of its parameters. Rows are sorted: where PyTorch is ahead
most comes first. What PyTorch does not have stands alone, with the rate at which its
inputs and their gradients go by; those that are far slower than their neighbours come
first. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness import Case, Found, Section, duration, main, measure, show_times

Given = list[Any]  # an input, as `peers/layer_work.py` takes it
BOTH = ("plait", "torch")
TOLERANCE = 3e-3  # long sums of float32, and ReLUs that are near 0
QUICK = ("Linear", "ReLU", "CTCLoss", "Sparsemax", "sort")


# --- inputs


def normal(*shape: int) -> Given:
    """Normally distributed numbers."""
    return ["normal", shape]


def uniform(low: float, high: float, *shape: int) -> Given:
    """Numbers from `low` to `high`."""
    return ["uniform", shape, low, high]


def integers(high: int, *shape: int, low: int = 0) -> Given:
    """Integers from `low` up to but without `high`."""
    return ["integers", shape, low, high]


def bytes_of(given: Given) -> int:
    """Return how many bytes an input has."""
    shape = given[1] if isinstance(given[1], Sequence) else ()
    return 4 * math.prod(shape)


# --- cases


def case(
    layer: str,
    args: Sequence[Any],
    *inputs: Given,
    wrt: int = 1,
    random: bool = False,
    after: dict[str, Any] | None = None,
    parametrization: str = "",
    note: str = "",
    **named: Any,
) -> Case:
    """Return the case of a layer.

    Args:
        layer: its name.
        args, named: what it is made with; layers are given as `made` returns.
        inputs: what it is called with.
        wrt: how many of the inputs have gradients.
        random: whether results differ by nature.
        after: a layer that the first input goes through before.
        parametrization: the function that the layer is given to.
        note: for its name, where there is another one like it.
    """
    work = made(layer, args, **named)
    if after:
        work["after"] = after
    if parametrization:
        work["parametrization"] = parametrization
    name = f"{parametrization}({text(work)})" if parametrization else text(work)
    name += f" {note}" if note else ""
    return of_work(layer, name, work, inputs, wrt, random)


def function(name: str, *inputs: Given, wrt: int = 1) -> Case:
    """Return the case of a function; see `peers/layers_plait.py`."""
    return of_work(name, name, {"function": name}, inputs, wrt, False)


def of_work(
    key: str,
    name: str,
    work: dict[str, Any],
    inputs: Sequence[Given],
    wrt: int,
    random: bool,
) -> Case:
    """Return a case, named by the work and the shape of its first input."""
    spec = {
        "kind": "layer", "work": work, "inputs": inputs, "wrt": wrt, "random": random,
    }  # fmt: skip
    shape = " x ".join(map(str, inputs[0][1]))
    moved = sum(bytes_of(x) * (1 + (i < wrt)) for i, x in enumerate(inputs))
    return Case(
        f"{name}, {shape}", spec, key in QUICK, tolerance=TOLERANCE, nbytes=moved
    )


def made(layer: str, args: Sequence[Any] = (), **named: Any) -> dict[str, Any]:
    """Return how a layer is described that is made with these arguments."""
    return {"layer": layer, "args": list(args), "named": named}


def text(value: Any) -> str:
    """Return a layer or an argument as Python writes it."""
    if isinstance(value, dict):
        parts = [text(x) for x in value["args"]]
        parts += [f"{key}={text(x)}" for key, x in value["named"].items()]
        return f"{value['layer']}({', '.join(parts)})" if parts else value["layer"]
    if isinstance(value, list | tuple):
        return f"({', '.join(map(text, value))})"
    return repr(value)


# --- what is measured

PLANE = normal(64, 4096)
IMAGES = normal(32, 64, 32, 32)
LINES = normal(32, 64, 1024)
VOLUMES = normal(4, 32, 16, 32, 32)
TEXT = normal(16, 128, 256)
BATCH = 256
ROWS = normal(BATCH, 1024)
SCORES = normal(BATCH, 1000)
LABELS = integers(1000, BATCH)
OTHERS = normal(BATCH, 1024)
CHANCES = uniform(0.01, 0.99, BATCH, 1024)
SIGNS = ["signs", (BATCH,)]
PADDED = {1: LINES, 2: IMAGES, 3: VOLUMES}
ENCODER = made(
    "TransformerEncoderLayer", (256, 8, 1024), dropout=0.0, batch_first=True
)  # fmt: skip
DECODER = made(
    "TransformerDecoderLayer", (256, 8, 1024), dropout=0.0, batch_first=True
)  # fmt: skip

ACTIVATIONS = [
    *(
        case(name, (), PLANE)
        for name in (
            "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish",
            "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "PReLU", "ReLU", "ReLU6",
            "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
            "Tanhshrink",
        )
    ),
    case("GELU", (), PLANE, approximate="tanh"),
    case("RReLU", (), PLANE, random=True),
    case("Threshold", (0.1, -1.0), PLANE),
    *(case(name, (1,), PLANE) for name in ("Softmax", "LogSoftmax", "Softmin")),
    case("Softmax2d", (), IMAGES),
    case("PReLU", (64,), IMAGES),
]  # fmt: skip
DENSE = [
    case("Linear", (256, 1024), normal(BATCH, 256)),
    case("Linear", (1024, 10), ROWS),
    case("Bilinear", (128, 128, 64), normal(BATCH, 128), normal(BATCH, 128), wrt=2),
    case("Linear", (1024, 1024), ROWS, parametrization="weight_norm"),
    case("Linear", (1024, 1024), ROWS, parametrization="spectral_norm"),
    case("Conv2d", (64, 64, 3), IMAGES, padding=1, parametrization="weight_norm"),
    case("Embedding", (50_000, 256), integers(50_000, 64, 128), wrt=0),
    case("EmbeddingBag", (50_000, 256), integers(50_000, BATCH, 50), wrt=0),
    case("EmbeddingBag", (50_000, 256), integers(50_000, BATCH, 50), wrt=0,
         mode="max"),
    case("EmbeddingBag", (50_000, 256), integers(50_000, BATCH * 50),
         ["steps", (BATCH,), 50], wrt=0, mode="sum"),
    case("CosineSimilarity", (1,), ROWS, OTHERS, wrt=2),
    case("PairwiseDistance", (), ROWS, OTHERS, wrt=2),
    *(
        case(name, (0.5,), x, random=True)
        for name, x in (
            ("Dropout", PLANE), ("Dropout1d", LINES), ("Dropout2d", IMAGES),
            ("Dropout3d", VOLUMES), ("AlphaDropout", PLANE),
            ("FeatureAlphaDropout", IMAGES),
        )
    ),
]  # fmt: skip
CONVOLUTIONS = [
    case("Conv1d", (64, 128, 5), LINES, padding=2),
    case("Conv2d", (64, 128, 3), IMAGES, padding=1),
    case("Conv2d", (64, 128, 1), IMAGES),
    case("Conv2d", (64, 128, 3), IMAGES, padding=1, stride=2),
    case("Conv2d", (64, 64, 3), IMAGES, padding=1, groups=64),
    case("Conv2d", (64, 128, 3), IMAGES, padding=1, groups=4),
    case("Conv2d", (64, 128, 5), IMAGES, padding=2),
    case("Conv2d", (64, 128, 3), IMAGES, padding=6, dilation=6),
    case("Conv2d", (256, 64, 3), normal(2, 256, 33, 33), padding=12, dilation=12),
    case("Conv2d", (256, 64, 3), normal(2, 256, 33, 33), padding=18, dilation=18),
    case("Conv2d", (3, 64, 7), normal(4, 3, 224, 224), padding=3, stride=2),
    case("Conv2d", (64, 64, 3), IMAGES, padding=1, padding_mode="reflect"),
    case("Conv3d", (32, 64, 3), VOLUMES, padding=1),
    case("ConvTranspose1d", (64, 32, 4), LINES, stride=2, padding=1),
    case("ConvTranspose2d", (64, 32, 2), IMAGES, stride=2),
    case("ConvTranspose2d", (64, 32, 4), IMAGES, stride=2, padding=1),
    case("ConvTranspose2d", (64, 32, 3), IMAGES, stride=3),
    case("ConvTranspose2d", (64, 32, 3), IMAGES, padding=1),
    case("ConvTranspose3d", (32, 16, 2), VOLUMES, stride=2),
    case("Fold", ((32, 32), 3), normal(32, 64 * 9, 1024), padding=1),
    case("Fold", ((32, 32), 2), normal(32, 256, 256), stride=2),
    case("Unfold", (3,), IMAGES, padding=1),
    case("Unfold", (2,), IMAGES, stride=2),
]
NORMS = [
    case("BatchNorm1d", (1024,), ROWS),
    case("BatchNorm1d", (64,), LINES),
    case("BatchNorm2d", (256,), normal(64, 256, 28, 28)),
    case("BatchNorm3d", (32,), VOLUMES),
    case("LayerNorm", (512,), normal(64, 128, 512)),
    case("LayerNorm", ((64, 32, 32),), IMAGES),
    case("RMSNorm", (512,), normal(64, 128, 512)),
    case("GroupNorm", (32, 256), normal(64, 256, 28, 28)),
    case("InstanceNorm1d", (64,), LINES, affine=True),
    case("InstanceNorm2d", (256,), normal(64, 256, 28, 28), affine=True),
    case("InstanceNorm3d", (32,), VOLUMES, affine=True),
    case("LocalResponseNorm", (5,), IMAGES),
    case("CrossMapLRN2d", (5,), IMAGES),
]
POOLINGS = [
    case("MaxPool1d", (2,), LINES),
    case("MaxPool2d", (2,), normal(64, 256, 28, 28)),
    case("MaxPool2d", (3, 2, 1), normal(8, 64, 112, 112)),
    case("MaxPool2d", (5, 1, 2), IMAGES),
    case("MaxPool3d", (2,), VOLUMES),
    case("AvgPool1d", (2,), LINES),
    case("AvgPool2d", (2,), normal(64, 256, 28, 28)),
    case("AvgPool2d", (3, 1, 1), IMAGES),
    case("AvgPool3d", (2,), VOLUMES),
    case("LPPool1d", (2, 2), LINES),
    case("LPPool2d", (2, 3, 2), IMAGES),
    case("LPPool3d", (2, 2), VOLUMES),
    case("AdaptiveAvgPool1d", (7,), LINES),
    case("AdaptiveAvgPool2d", (7,), IMAGES),
    case("AdaptiveAvgPool2d", (1,), normal(64, 256, 28, 28)),
    case("AdaptiveAvgPool3d", (5,), VOLUMES),
    case("AdaptiveMaxPool1d", (7,), LINES),
    case("AdaptiveMaxPool2d", (7,), IMAGES),
    case("AdaptiveMaxPool3d", (5,), VOLUMES),
    case("FractionalMaxPool2d", (2,), IMAGES, output_ratio=0.6, random=True),
    case("FractionalMaxPool3d", (2,), VOLUMES, output_ratio=0.6, random=True),
    case("MaxUnpool1d", (2,), normal(32, 64, 512), ["corners", (32, 64, 512)]),
    case("MaxUnpool2d", (2,), normal(64, 256, 14, 14), ["corners", (64, 256, 14, 14)]),
    case("MaxUnpool3d", (2,), normal(4, 32, 8, 16, 16),
         ["corners", (4, 32, 8, 16, 16)]),
]  # fmt: skip
SHAPES = [
    *(
        case(f"{kind}Pad{rank}d", (2, 1.5) if kind == "Constant" else (2,), x)
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
        for rank, x in PADDED.items()
    ),
    case("PixelShuffle", (2,), IMAGES),
    case("PixelUnshuffle", (2,), IMAGES),
    case("ChannelShuffle", (4,), IMAGES),
    case("Upsample", (), LINES, scale_factor=2, mode="linear"),
    case("Upsample", (), IMAGES, scale_factor=2),
    case("Upsample", (), IMAGES, scale_factor=2, mode="bilinear"),
    case("Upsample", ((45, 45),), IMAGES, mode="bilinear", align_corners=True),
    case("Upsample", (), IMAGES, scale_factor=2, mode="bicubic"),
    case("Upsample", (), VOLUMES, scale_factor=2, mode="trilinear"),
    case("UpsamplingBilinear2d", (), IMAGES, scale_factor=2),
    case("UpsamplingNearest2d", (), IMAGES, scale_factor=2),
]
SEQUENCES = [
    case("RNN", (256, 256), normal(50, 32, 256)),
    case("LSTM", (256, 256), normal(50, 32, 256)),
    case("LSTM", (128, 128, 2), normal(50, 32, 128), bidirectional=True),
    case("LSTM", (256, 256), normal(50, 32, 256), proj_size=64),
    case("GRU", (256, 256), normal(50, 32, 256)),
    case("GRU", (128, 128, 2), normal(50, 32, 128), bidirectional=True),
    *(
        case(name, (256, 512), normal(BATCH, 256))
        for name in ("RNNCell", "LSTMCell", "GRUCell")
    ),
    case("MultiheadAttention", (256, 8), TEXT, ["again", 0], ["again", 0],
         batch_first=True),
    case("TransformerEncoderLayer", (256, 8, 1024), TEXT, dropout=0.0,
         batch_first=True),
    case("TransformerEncoderLayer", (256, 8, 1024), TEXT, batch_first=True,
         random=True),
    case("TransformerDecoderLayer", (256, 8, 1024), TEXT, normal(16, 64, 256), wrt=2,
         dropout=0.0, batch_first=True),
    case("TransformerEncoder", (ENCODER, 3), TEXT),
    case("TransformerDecoder", (DECODER, 3), TEXT, normal(16, 64, 256), wrt=2),
    case("Transformer", (256, 8, 2, 2, 1024), TEXT, normal(16, 64, 256), wrt=2,
         dropout=0.0, batch_first=True),
]  # fmt: skip
LOSSES = [
    *(
        case(name, (), ROWS, OTHERS)
        for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss")
    ),
    case("BCELoss", (), CHANCES, uniform(0.0, 1.0, BATCH, 1024)),
    case("BCEWithLogitsLoss", (), ROWS, uniform(0.0, 1.0, BATCH, 1024)),
    case("CrossEntropyLoss", (), SCORES, LABELS),
    case("CrossEntropyLoss", (), SCORES, LABELS, label_smoothing=0.1),
    case("CrossEntropyLoss", (), SCORES, ["shares", (BATCH, 1000)],
         note="of probabilities"),
    case("CrossEntropyLoss", (), normal(8, 21, 128, 128), integers(21, 8, 128, 128)),
    case("NLLLoss", (), SCORES, LABELS),
    case("KLDivLoss", (), SCORES, ["shares", (BATCH, 1000)], reduction="batchmean"),
    case("PoissonNLLLoss", (), ROWS, uniform(0.0, 5.0, BATCH, 1024)),
    case("GaussianNLLLoss", (), ROWS, OTHERS, uniform(0.1, 2.0, BATCH, 1024)),
    case("HingeEmbeddingLoss", (), ROWS, ["signs", (BATCH, 1024)]),
    case("MarginRankingLoss", (), normal(BATCH), normal(BATCH), SIGNS, wrt=2),
    case("MultiLabelMarginLoss", (), normal(BATCH, 100), ["labels", (BATCH, 100), 5]),
    case("MultiLabelSoftMarginLoss", (), SCORES, integers(2, BATCH, 1000)),
    case("MultiMarginLoss", (), SCORES, LABELS),
    case("SoftMarginLoss", (), ROWS, ["signs", (BATCH, 1024)]),
    case("CosineEmbeddingLoss", (), ROWS, OTHERS, SIGNS, wrt=2),
    case("TripletMarginLoss", (), ROWS, OTHERS, normal(BATCH, 1024), wrt=3),
    case("TripletMarginWithDistanceLoss", (), ROWS, OTHERS, normal(BATCH, 1024),
         wrt=3),
    # PyTorch's gradient is that of scores before a softmax.
    case("CTCLoss", (), normal(100, 64, 80), integers(80, 64, 20, low=1),
         integers(101, 64, low=100), integers(21, 64, low=10),
         after=made("LogSoftmax", (2,))),
    case("AdaptiveLogSoftmaxWithLoss", (256, 50_000, (2000, 10_000)),
         normal(BATCH, 256), integers(50_000, BATCH)),
    case("LinearCrossEntropyLoss", (256, 10_000), normal(BATCH, 256),
         integers(10_000, BATCH)),
]  # fmt: skip
GRID = uniform(-1.0, 1.0, 32, 32, 32, 2)
FUNCTIONS = [
    *(
        function(name, PLANE)
        for name in (
            "sort", "top 10", "median", "quantile", "cumulative sum",
            "cumulative maximum", "logcumsumexp", "logsumexp", "variance", "lgamma",
            "digamma", "i0",
        )
    ),
    function("argsort", PLANE, wrt=0),
    function("erfinv", uniform(-0.99, 0.99, 64, 4096)),
    function("cumulative product", uniform(0.9, 1.1, 64, 4096)),
    function("searchsorted", ["steps", (1000,), 7], integers(7000, 64, 4096), wrt=0),
    function("bincount", integers(1000, 1 << 18), wrt=0),
    function("index_add", normal(10_000, 256), integers(10_000, 8192),
             normal(8192, 256)),
    function("cdist", normal(512, 128), normal(1024, 128), wrt=2),
    function("cdist, p = 1", normal(256, 64), normal(512, 64), wrt=2),
    function("pdist", normal(512, 128)),
    function("grid_sample", IMAGES, GRID, wrt=2),
    function("grid_sample, bicubic", IMAGES, GRID, wrt=2),
    function("causal attention", normal(16, 8, 128, 32), normal(16, 8, 128, 32),
             normal(16, 8, 128, 32), wrt=3),
    function("einsum", normal(16, 8, 128, 32), normal(16, 8, 128, 32), wrt=2),
    function("roll", IMAGES),
    function("flip", IMAGES),
    function("kron", normal(32, 32), normal(64, 64), wrt=2),
]  # fmt: skip
PICTURES = uniform(0.0, 1.0, 32, 3, 128, 128)
SOUND = normal(16, 16_000)
LSTM_CELL = made("LSTMCell", (256, 256))
OWN = [
    *(
        case(name, (), PLANE)
        for name in (
            "CReLU", "Cube", "Exponential", "Maxout", "RationalTanh", "RectifiedTanh",
            "Sparsemax", "SparsePlus", "SparseSigmoid", "Squareplus",
            "UnitNormalization",
        )
    ),
    *(
        case(name, (1024, 1024), ROWS)
        for name in ("Cosine", "Euclidean", "TernaryDense")
    ),
    case("EinsumDense", ("bti,io->bto", (256, 1024)), TEXT),
    case("LoRALinear", (1024, 1024, 8), ROWS),
    case("Highway", (1024,), ROWS),
    case("SwiGLU", (256, 1024), TEXT),
    case("SqueezeExcitation", (64, 16), IMAGES),
    case("MixtureOfExperts", (
        made("Linear", (1024, 4)), *[made("Linear", (1024, 1024))] * 4
    ), ROWS),
    case("DepthwiseConv2d", (64, 3), IMAGES, padding=1),
    case("SeparableConv1d", (64, 128, 3), LINES, padding=1),
    case("SeparableConv2d", (64, 128, 3), IMAGES, padding=1),
    case("LocallyConnected1d", (64, 64, 256, 3), normal(32, 64, 256)),
    case("LocallyConnected2d", (16, 16, (32, 32), 3), normal(32, 16, 32, 32)),
    case("ConvLSTM1d", (16, 32, 3), normal(10, 8, 16, 128), padding=1),
    case("ConvLSTM2d", (16, 32, 3), normal(10, 8, 16, 32, 32), padding=1),
    case("ConvLSTM3d", (4, 8, 3), normal(5, 2, 4, 8, 16, 16), padding=1),
    case("GlobalAvgPool2d", (), normal(64, 256, 28, 28)),
    case("GlobalMaxPool2d", (), normal(64, 256, 28, 28)),
    case("Recurrent", (LSTM_CELL,), normal(50, 32, 256)),
    case("Recurrent", (made("StackedRNNCells", (LSTM_CELL, LSTM_CELL)),),
         normal(50, 32, 256)),
    case("Recurrent", (made("ZoneoutCell", (LSTM_CELL,)),), normal(50, 32, 256),
         random=True),
    case("Attention", (), TEXT, TEXT, wrt=2),
    case("AdditiveAttention", (256,), TEXT, TEXT, wrt=2),
    case("GroupQueryAttention", (256, 8, 2), TEXT, ["again", 0], ["again", 0],
         batch_first=True),
    case("GroupQueryAttention", (256, 8, 2), TEXT, ["again", 0], ["again", 0],
         batch_first=True,
         positions=made("RotaryPositionalEmbedding", (32, 128))),
    case("SinusoidalPositionalEncoding", (256,), TEXT),
    case("RotaryPositionalEmbedding", (32, 128), normal(16, 8, 128, 32)),
    case("STFTSpectrogram", (), SOUND),
    case("MelSpectrogram", (), SOUND, fft_length=512, sequence_stride=256),
    case("MFCC", (), SOUND),
    *(
        case(name, (), PICTURES, wrt=0, random=True)
        for name in (
            "AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization",
            "Equalization", "RandAugment", "RandomElasticTransform", "RandomErasing",
            "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomInvert",
            "RandomPerspective",
        )
    ),
    *(
        case(name, (0.3,), PICTURES, wrt=0, random=True)
        for name in (
            "RandomBrightness", "RandomColorDegeneration", "RandomContrast",
            "RandomHue", "RandomRotation", "RandomSaturation", "RandomSharpness",
            "RandomZoom",
        )
    ),
    case("RandomColorJitter", (), PICTURES, wrt=0, random=True,
         brightness_factor=0.3, contrast_factor=0.3, saturation_factor=0.3,
         hue_factor=0.1),
    case("RandomCrop", (112, 112), PICTURES, wrt=0, random=True),
    case("RandomPosterization", (4,), PICTURES, wrt=0, random=True),
    case("RandomResizedCrop", (112, 112), PICTURES, wrt=0, random=True),
    case("RandomShear", (0.3, 0.3), PICTURES, wrt=0, random=True),
    case("RandomTranslation", (0.3, 0.3), PICTURES, wrt=0, random=True),
    case("Resizing", (224, 224), PICTURES, wrt=0),
    *(
        case(name, (), PICTURES, normal(32, 10), wrt=0, random=True)
        for name in ("CutMix", "MixUp")
    ),
    case("Hashing", (1000,), integers(1 << 40, 64, 4096), wrt=0),
    case("Discretization", (tuple(range(-3, 4)),), PLANE, wrt=0),
    case("CategoryEncoding", (1000,), integers(1000, BATCH, 20), wrt=0),
    *(
        case(name, (), SCORES, LABELS)
        for name in (
            "FocalLoss", "GeneralizedCrossEntropyLoss", "PolyLoss", "SparsemaxLoss",
        )
    ),
    *(
        case(name, (), ROWS, OTHERS)
        for name in ("LogCoshLoss", "MAPELoss", "SquaredHingeLoss")
    ),
    case("SigmoidFocalLoss", (), ROWS, ["shares", (BATCH, 1024)]),
    case("DiceLoss", (), uniform(0.01, 0.99, 8, 21, 64, 64),
         integers(2, 8, 21, 64, 64)),
    case("NTXentLoss", (), normal(BATCH, 128), integers(10, BATCH)),
    case("CircleLoss", (), normal(BATCH, 128), integers(10, BATCH)),
    case("RankingSoftmaxLoss", (), SCORES, uniform(0.0, 1.0, BATCH, 1000)),
]  # fmt: skip


# --- tables


def show_sorted(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of times, where the others are ahead most first."""

    def ahead(case: Case) -> float:
        peers = found["cases"].get(case.name, {"peers": {}})["peers"]
        others = [peers[name]["median"] for name in peers if name != "plait"]
        if not others or "plait" not in peers:
            return math.inf
        return min(others) / peers["plait"]["median"]

    yield from show_times(
        replace(section, cases=sorted(section.cases, key=ahead)), found
    )


def show_rates(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of times and rates, the lowest rate first."""
    yield "| | plait | inputs and their gradients |"
    yield "|---|---:|---:|"
    rows = []
    for case in section.cases:
        peers = found["cases"].get(case.name, {"peers": {}})["peers"]
        if "plait" in peers:
            seconds = peers["plait"]["median"]
            rows.append((case.nbytes / seconds / 1e9, seconds, case.name))
    for rate, seconds, name in sorted(rows):
        yield f"| {name} | {duration(seconds)} | {rate:.2f} GB/s |"


LAYERS = [
    *ACTIVATIONS, *DENSE, *CONVOLUTIONS, *NORMS, *POOLINGS, *SHAPES, *SEQUENCES,
]  # fmt: skip
SECTIONS = [
    Section("layers", LAYERS, show_sorted, measure, BOTH),
    Section("losses", LOSSES, show_sorted, measure, BOTH),
    Section("functions", FUNCTIONS, show_sorted, measure, BOTH),
    Section("layers-alone", OWN, show_rates, measure, ("plait",), limits=True),
]

if __name__ == "__main__":
    main(SECTIONS)
