"""Training steps and inference of the nets of classic jobs, beside other frameworks.

usage: python benchmarks/nets.py [--quick] [--peers A,B] [--threads 1,2] [--write] ...

All peers have the same weights and data (`peers/architecture.py`), in the layouts they
like. A training step takes a new batch, which lies there as the framework's own tensor;
an inference's result is looked at as a NumPy array; an iteration of style transfer
updates the image. Losses of the first steps, or part of the first result, must agree.
The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

from typing import Any

from harness import Case, Section, main, measure, show_times
from memory import measure_memory, show_memory

STEPS = 6  # whose losses are compared
TOLERANCE = 1e-4
# Adam's first steps are as long for derivatives near 0 as for others, and Keras adds
# epsilon before it corrects the mean of squares.
ADAM_TOLERANCE = 1e-3
HALF_TOLERANCE = 2e-2  # bfloat16 has 8 bits
COMPILERS = ("plait", "torch", "torch.compile", "jax", "tensorflow")
TRAINERS = (*COMPILERS, "keras")
ALL = (*TRAINERS, "onnxruntime")

SGD = {"name": "SGD", "lr": 0.005, "momentum": 0.9}
ADAM = {"name": "Adam", "lr": 0.01}
ADAMW = {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.01}
VGG16 = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
# VGG-19 as far as the last layer that style transfer looks at.
VGG19 = [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512]]

CNN = {
    "net": "cnn", "image": 32, "widths": [16, 32, 64], "hidden": 512, "classes": 10,
    "batch": 256,
}  # fmt: skip
TEXT = {
    "net": "text", "vocabulary": 20_000, "width": 300, "length": 70, "hidden": 40,
    "batch": 128,
}  # fmt: skip
GPT = {
    "net": "gpt", "vocabulary": 65, "context": 64, "width": 128, "layers": 4,
    "heads": 4, "batch": 12,
}  # fmt: skip
RESNET18 = {
    "net": "resnet", "bottleneck": False, "width": 64, "blocks": [2, 2, 2, 2],
    "image": 32, "classes": 10, "batch": 64,
}  # fmt: skip
RESNET50 = {
    "net": "resnet", "bottleneck": True, "width": 64, "blocks": [3, 4, 6, 3],
    "image": 224, "classes": 1000, "batch": 1,
}  # fmt: skip
MOBILENET = {
    "net": "mobilenet", "stages": 7, "image": 224, "classes": 1000, "batch": 1,
}  # fmt: skip
VGG = {
    "net": "vgg", "widths": VGG16, "hidden": 4096, "image": 224, "classes": 1000,
    "batch": 1,
}  # fmt: skip
# Gatys et al. 2016: content at conv4_2, style at conv1_1, conv2_1, ..., conv5_1.
STYLE = {
    "net": "style", "widths": VGG19, "content": [3, 1],
    "style": [[stage, 0] for stage in range(5)], "weight": 1e5,
}  # fmt: skip

# So small that they show only whether everything runs and agrees.
SMALL_CNN = {**CNN, "image": 8, "widths": [4, 8], "hidden": 16, "batch": 4}
SMALL_TEXT = {
    **TEXT, "vocabulary": 30, "width": 5, "length": 4, "hidden": 3, "batch": 4,
}  # fmt: skip
SMALL_GPT = {**GPT, "context": 4, "width": 8, "layers": 1, "heads": 2, "batch": 2}
SMALL_RESNET = {**RESNET18, "width": 4, "blocks": [1, 1], "image": 8, "batch": 4}
SMALL_BOTTLENECKS = {
    **RESNET50, "width": 4, "blocks": [1, 1], "image": 32, "classes": 10,
}  # fmt: skip
SMALL_MOBILENET = {**MOBILENET, "stages": 2, "image": 16, "classes": 10}
SMALL_VGG = {
    **VGG, "widths": [[4], [8, 8]], "hidden": 16, "image": 8, "classes": 10,
}  # fmt: skip
SMALL_STYLE = {
    **STYLE, "widths": [[4, 4], [8]], "image": 8, "content": [0, 1],
    "style": [[0, 0], [1, 0]],
}  # fmt: skip


def case(
    name: str,
    way: dict[str, Any],
    net: dict[str, Any],
    small: dict[str, Any] | None = None,
    **named: Any,
) -> Case:
    """Return the case of a net that is used in one of the ways below."""
    quick = None if small is None else {**way, **small}
    named = {"tolerance": TOLERANCE, **named}
    return Case(name, {**way, **net}, quick is not None, small=quick, **named)


def training(optimizer: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a specification that makes it a training step."""
    return {"kind": "net-train", "check": STEPS, "optimizer": optimizer}


INFERENCE = {"kind": "net-infer"}
TRANSFER = {"kind": "net-transfer", "check": STEPS, "optimizer": ADAM}
HALF = {"autocast": True, **training(SGD)}, {"autocast": True, **INFERENCE}


def remembered(case: Case, *others: str) -> Case:
    """Return a case for measuring memory: nothing compared, few runs."""
    few = {"check": 0, "runs": 3}
    small = case.small and {**case.small, **few}
    quick = case is TRAINED[0]  # one is enough
    peers = ("plait", "torch", "tensorflow", *others)
    return Case(case.name, {**case.spec, **few}, quick, peers, rounds=1, small=small)


TRAINED = [
    case("CIFAR CNN, batch 256", training(SGD), CNN, SMALL_CNN),
    case("LSTM of texts, batch 128", training(ADAM), TEXT, SMALL_TEXT),
    case("character GPT, batch 12", training(ADAMW), GPT, SMALL_GPT,
         tolerance=ADAM_TOLERANCE),
    case("ResNet-18 of 32 px, batch 64", training(SGD), RESNET18, SMALL_RESNET,
         rounds=5),
    case("style transfer, 200 px", TRANSFER, {**STYLE, "image": 200}, SMALL_STYLE,
         peers=COMPILERS, rounds=7, tolerance=ADAM_TOLERANCE),
    case("style transfer, 400 px", TRANSFER, {**STYLE, "image": 400},
         peers=COMPILERS, rounds=3, tolerance=ADAM_TOLERANCE),
]  # fmt: skip
INFERRED = [
    case("ResNet-50, 224 px", INFERENCE, RESNET50, SMALL_BOTTLENECKS),
    case("MobileNetV2, 224 px", INFERENCE, MOBILENET, SMALL_MOBILENET),
    case("VGG-16, 224 px", INFERENCE, VGG, SMALL_VGG, rounds=7),
]
SECTIONS = [
    Section("nets-train", TRAINED, show_times, measure, TRAINERS),
    Section(
        "nets-infer",
        [
            *INFERRED,
            case("CIFAR CNN, batch 256", INFERENCE, CNN),
            case("LSTM of texts, batch 128", INFERENCE, TEXT, peers=TRAINERS),
            case("character GPT, batch 12", INFERENCE, GPT, peers=TRAINERS),
        ],
        show_times,
        measure,
        ALL,
    ),
    Section(
        "nets-bf16",
        [
            case("CIFAR CNN, batch 256, training step", HALF[0], CNN, SMALL_CNN,
                 tolerance=HALF_TOLERANCE),
            case("CIFAR CNN, batch 256, inference", HALF[1], CNN, SMALL_CNN,
                 tolerance=HALF_TOLERANCE),
        ],
        show_times,
        measure,
        TRAINERS,
    ),
    Section(
        "nets-memory",
        [
            *map(remembered, TRAINED),
            *(remembered(case, "onnxruntime") for case in INFERRED),
        ],
        show_memory,
        measure_memory,
        ALL,
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(SECTIONS)
