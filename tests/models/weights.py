"""Weights and pictures that are the same everywhere, for comparing nets.

Each tensor's numbers come from its name, so that two nets of the same names have the
same weights, and results can be kept in a file.
"""

import hashlib
import zlib

import numpy as np

SEED = 7
# One model of each class of nets, and of no more than 100 million parameters: those of
# which results are kept.
KEPT = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_lite0",
    "efficientnet_v2_s", "googlenet", "inception_v3", "lenet", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
    "resnet18", "resnet50", "shufflenet_v2_x0_5", "squeezenet1_1", "vit_b_32",
    "mobilenet_v1", "nasnet_mobile", "resnetv2_50", "xception", "inception_resnet_v2",
)  # fmt: skip


def weights(shapes, gain):
    """Return an array for each name and shape.

    Args:
        shapes: by name.
        gain: a factor of matrices and kernels, so great that what the net sees neither
            fades on its way nor grows.
    """
    return {name: tensor(name, tuple(shape), gain) for name, shape in shapes.items()}


def tensor(name, shape, gain):
    """Return the numbers of one parameter or buffer, float32 but for counts."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        found = random.uniform(0.8, 1.2, shape)
    elif name.endswith(("bias", "running_mean")):
        found = random.normal(0, 0.1, shape)
    elif len(shape) > 1 and name.endswith("weight"):
        fan_in = int(np.prod(shape[1:]))
        found = random.standard_normal(shape, np.float32) * gain * (2 / fan_in) ** 0.5
    elif len(shape) > 1 and not name.endswith("layer_scale"):
        found = random.normal(0, 0.1, shape)
    else:
        found = random.uniform(0.5, 1.1, shape)
    if name.endswith(("bn3.weight", "layer_scale")):
        # Or rounding errors grow from block to block.
        found = 0.3 * found
    return found.astype(np.float32)


def pictures(count, channels, size):
    """Return random pictures; float32."""
    random = np.random.default_rng(SEED)
    return random.standard_normal((count, channels, size, size), np.float32)


def tokens(count, length):
    """Return random texts; int64."""
    return np.random.default_rng(SEED).integers(0, 30000, (count, length))


def difference(got, expected):
    """Return the greatest difference of two results.

    Its unit is the greatest deviation of a row of the second result from their mean:
    only so much of it comes from the input.
    """
    return float(abs(got - expected).max() / abs(expected - expected.mean(0)).max())


def checksum(shapes):
    """Return a short checksum of names and shapes, in their order."""
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
