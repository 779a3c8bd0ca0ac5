"""NASNet's small net beside Keras's, which has it on other backends than PyTorch.

Run with KERAS_BACKEND=tensorflow.
"""

import re

import numpy as np
import pytest

import plait
from plait import models

from . import weights

keras = pytest.importorskip("keras")
if keras.backend.backend() == "torch":
    pytest.skip("Keras has no NASNet on PyTorch", allow_module_level=True)

# Which branch of ours is which of Keras's.
NORMAL = {"left1": "0_left", "right1": "0_right", "left2": "1_left"}
NORMAL |= {"right2": "1_right", "left5": "4_left"}
REDUCTION = {"left1": "0_left", "right1": "0_right", "right2": "1_right"}
REDUCTION |= {"right3": "2_right", "left4": "4_left"}
BRANCHES = {"normal": NORMAL, "reduction": REDUCTION}
# Cells by Keras's names for them; normal ones have numbers, of which 4 is left out.
CELLS = {"stem_1": "cell_stem_0", "stem_2": "cell_stem_1"}
CELLS |= {"reduce_4": "reduction_cell_0", "reduce_8": "reduction_cell_1"}


def own_name(name):
    """Return what a layer of Keras's is called here."""
    fixed = {
        "stem_conv1": "conv0.conv", "stem_bn1": "conv0.bn",
        "predictions": "last_linear",
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    found = re.fullmatch(
        r"separable_conv_([12])(_bn)?_(normal|reduction)_(\w+?\d)_(\w+)", name
    )
    if found:
        number, norm, kind, branch, cell = found.groups()
        part = f"bn_sep_{number}" if norm else f"separable_{number}"
        return f"{cell_of(cell)}.comb_iter_{BRANCHES[kind][branch]}.{part}"
    found = re.fullmatch(r"(?:normal|reduction)_(conv|bn)_1_(\w+)", name)
    if found:
        return f"{cell_of(found[2])}.conv_1x1.{found[1]}"
    found = re.fullmatch(r"adjust_conv_([12])_(\w+)", name)
    if found:
        return f"{cell_of(found[2])}.path_{found[1]}.conv"
    found = re.fullmatch(r"adjust_conv_projection_(\w+)", name)
    if found:
        return f"{cell_of(found[1])}.conv_prev_1x1.conv"
    found = re.fullmatch(r"adjust_bn_(\w+)", name)
    return f"{cell_of(found[1])}.adjust_bn"


def cell_of(name):
    return CELLS[name] if name in CELLS else f"cell_{int(name) - (int(name) > 4)}"


def state_of(net, own):
    """Return the arrays of Keras's net under the names of ours."""
    state = {}
    for layer in net.layers:
        arrays = [np.asarray(array) for array in layer.get_weights()]
        if not arrays:
            continue
        name = own_name(layer.name)
        if name.endswith("adjust_bn"):
            cell = name.removesuffix("adjust_bn")
            halving = f"{cell}final_path_bn.weight" in own
            name = cell + ("final_path_bn" if halving else "conv_prev_1x1.bn")
        if "separable" in name and len(arrays) == 2:
            state[f"{name}.depthwise_conv2d.weight"] = arrays[0].transpose(2, 3, 0, 1)
            state[f"{name}.pointwise_conv2d.weight"] = arrays[1].transpose(3, 2, 0, 1)
        elif len(arrays) == 4:
            parts = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{name}.{p}": x for p, x in zip(parts, arrays, strict=True)}
            state[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
        elif len(arrays) == 2:
            state |= {f"{name}.weight": arrays[0].T, f"{name}.bias": arrays[1]}
        else:
            state[f"{name}.weight"] = arrays[0].transpose(3, 2, 0, 1)
    return state


def max_with_zeros(x):
    """Return the greatest of 3 x 3 windows where padding is 0, as in Keras's net."""
    widths = [(0, 0), (0, 0), *models.nasnet._same(x, 3)]
    return plait.max_pool(plait.pad(x, widths), (3, 3), stride=2)


def test_nasnet_mobile(monkeypatch):
    monkeypatch.setattr(models.nasnet, "_max", max_with_zeros)
    net = keras.applications.NASNetMobile(weights=None, classifier_activation=None)
    for layer in net.layers:
        found = [np.asarray(array) for array in layer.get_weights()]
        shapes = {f"{layer.name}.{i}": x.shape for i, x in enumerate(found)}
        if len(found) == 4:  # a normalisation: positive variances
            named = ("weight", "bias", "running_mean", "running_var")
            shapes = {
                f"{layer.name}.{part}": x.shape
                for part, x in zip(named, found, strict=True)
            }
            layer.set_weights([*weights.weights(shapes, 1.0).values()])
    own = models.nasnet_mobile().eval()
    own.load_state_dict(state_of(net, own.state_dict()))
    x = weights.pictures(3, 3, 224)
    expected = np.asarray(net(x.transpose(0, 2, 3, 1)))
    assert weights.difference(own(plait.asarray(x)).numpy(), expected) < 1e-4
