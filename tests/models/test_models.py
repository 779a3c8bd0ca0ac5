"""Every model: its state, its result, and that all of it can be trained.

What PyTorch's nets are stands in table.json, which tools/model_table.py writes.
"""

import json
import math
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import models, nn, optim
from plait.errors import ArgumentError, PlaitError, ShapeError
from plait.settings import settings
from plait.train import TrainStep

from . import references, weights

TABLE = json.loads((Path(__file__).parent / "table.json").read_text(encoding="utf-8"))
NAMES = list(models.names())
GIANTS = ("gpt2_large", "gpt2_xl")  # see test_text.py


@pytest.fixture
def blank(monkeypatch):
    """Have new weights be 0: where they do not matter, drawing them takes longest."""

    def zeros(*_, shape, dtype=None, generator=None):
        return plait.zeros(shape, dtype=dtype)

    for name in ("normal", "truncated_normal", "uniform"):
        monkeypatch.setattr(plait.random, name, zeros)
    plait.flush()  # what was recorded before does not add up


# --- what they are


def test_the_table_has_all_models():
    assert sorted(TABLE) == NAMES
    assert {name for name, row in TABLE.items() if "result" in row} == {*weights.KEPT}


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("name", [n for n in NAMES if n not in GIANTS])
def test_the_state_is_that_of_pytorch(name):
    net = models.get_model(name)
    shapes = {key: tensor.shape for key, tensor in net.state_dict().items()}
    count = models.registry.parameter_count(net)
    found = {
        "parameters": count, "tensors": len(shapes),
        "checksum": weights.checksum(shapes),
    }  # fmt: skip
    assert found == {key: TABLE[name][key] for key in found}
    assert models.names()[name] == count


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("name", weights.KEPT)
def test_the_result_is_that_of_pytorch(name):
    net = models.get_model(name, **references.OPTIONS.get(name, {})).eval()
    state = net.state_dict()
    shapes = {key: tensor.shape for key, tensor in state.items()}
    net.load_state_dict(weights.weights(shapes, TABLE[name]["gain"]))
    result = net(plait.asarray(references.inputs(name))).numpy()
    assert result.shape == (3, 10 if name == "lenet" else 1000)
    expected = np.array(TABLE[name]["result"])
    got = result[:, : expected.shape[1]]
    assert weights.difference(got, expected) < 1e-3


def test_functions_say_what_they_make():
    assert models.resnet50.__name__ == "resnet50"
    assert models.resnet50.__doc__.startswith(
        "Return ResNet-50: 25,557,032 parameters."
    )
    for name in NAMES:
        entry = models.entry(name)
        assert getattr(models, name) is entry.build
        assert name in models.__all__
        assert f"{entry.parameters:,}" in entry.build.__doc__


# --- all of a net is trained


def tiny_vgg():
    row = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    return models.VGG(nn.Sequential(*row, nn.Conv2d(8, 512, 3)), 5)


STAGES = models.efficientnet.Stage
BNECK = models.mobilenet.Bneck
# Nets of the same classes, so small that compiling and running them takes no time.
TINY = {
    "lenet": (partial(models.lenet, 5), (2, 1, 32, 32)),
    "resnet": (
        partial(models.ResNet, models.BasicBlock, (1, 1, 1, 1), 5),
        (2, 3, 32, 32),
    ),
    "resnext": (
        partial(
            models.ResNet, models.Bottleneck, (1, 1, 1, 1), 5, groups=4,
            width_per_group=8, replace_stride_with_dilation=(False, True, True),
        ),
        (2, 3, 32, 32),
    ),
    "densenet": (partial(models.DenseNet, 4, (2, 2), 8, num_classes=5), (2, 3, 32, 32)),
    "squeezenet": (partial(models.squeezenet1_1, 5), (2, 3, 48, 48)),
    "shufflenet": (
        partial(models.ShuffleNetV2, (2, 1, 1), (8, 16, 16, 16, 32), 5),
        (2, 3, 64, 64),
    ),
    "mnasnet": (partial(models.MNASNet, 0.1, 5), (2, 3, 64, 64)),
    "mobilenet_v2": (
        partial(
            models.MobileNetV2, 5, 0.25,
            [(1, 16, 1, 1), (2, 32, 2, 2)],
        ),
        (2, 3, 32, 32),
    ),
    "mobilenet_v3": (
        partial(
            models.MobileNetV3,
            [BNECK(3, 16, 8, True, nn.ReLU, 2), BNECK(5, 24, 8, True, nn.Hardswish, 1)],
            8, 16, 5,
        ),
        (2, 3, 32, 32),
    ),
    "efficientnet": (
        partial(
            models.EfficientNet,
            [STAGES(1, 3, 1, 8, 8, 1), STAGES(4, 5, 2, 8, 16, 2)], 0.2, num_classes=5,
        ),
        (2, 3, 32, 32),
    ),
    "efficientnet_v2": (
        partial(
            models.EfficientNet,
            [STAGES(1, 3, 1, 8, 8, 1, True), STAGES(4, 3, 2, 8, 16, 2, True)], 0.2,
            num_classes=5, last_channel=32,
        ),
        (2, 3, 32, 32),
    ),
    "efficientnet_lite": (
        partial(
            models.EfficientNetLite, 5, stages=[(1, 3, 1, 8, 1), (4, 5, 2, 16, 2)]
        ),
        (2, 3, 32, 32),
    ),
    "convnext": (
        partial(models.ConvNeXt, (8, 16), (1, 2), 0.1, 0.5, 5), (2, 3, 32, 32),
    ),
    "regnet": (
        partial(models.RegNet, [(16, 1, 8), (32, 2, 16)], 0.25, 5, 32),
        (2, 3, 32, 32),
    ),
    "resnet_v2": (
        partial(models.ResNetV2, (1, 2), 5, (16, 32), 8), (2, 3, 32, 32),
    ),
    "inception_resnet": (
        partial(models.InceptionResNetV2, 5, repeats=(1, 1, 1)), (2, 3, 96, 96),
    ),
    "mobilenet_v1": (
        partial(models.MobileNetV1, 5, 0.25, stages=[(64, 1, 1), (128, 2, 2)]),
        (2, 3, 32, 32),
    ),
    "xception": (
        partial(models.Xception, 5, widths=(4, 8, 8, 8, 16, 24, 24, 32), middle=1),
        (2, 3, 64, 64),
    ),
    "nasnet": (
        partial(models.NASNet, 5, 8, 1, 96, skip_reduction=False), (2, 3, 64, 64),
    ),
    "vit": (
        partial(
            models.VisionTransformer, 32, 16, 2, 2, 16, 32, num_classes=5,
            representation_size=8,
        ),
        (2, 3, 32, 32),
    ),
}  # fmt: skip


def step_of(make, shape):
    """Return the loss and what one step changes, from the same beginning."""
    plait.manual_seed(0)
    net = make()
    for name, parameter in net.named_parameters():
        if name.endswith("heads.head.weight"):  # 0 at first, and so all before it
            nn.init.normal_(parameter)
    x = plait.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    step = TrainStep(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))
    before = {name: p.numpy().copy() for name, p in net.named_parameters()}
    loss = float(step(x, plait.asarray(np.arange(shape[0]))))
    changes = {name: p.numpy() - before[name] for name, p in net.named_parameters()}
    result = net.eval()(x)
    assert result.shape == (shape[0], 5)
    return loss, changes


@pytest.mark.parametrize("family", TINY)
def test_a_step_of_training(family, monkeypatch):
    monkeypatch.setattr(settings, "execution", "interpret")
    make, shape = TINY[family]
    # Interpreted first: what has been compiled stays so.
    expected_loss, expected = step_of(make, shape)
    assert math.isfinite(expected_loss)
    assert not [name for name, change in expected.items() if not change.any()]
    monkeypatch.setattr(settings, "execution", "compile")
    loss, changes = step_of(make, shape)
    assert abs(loss - expected_loss) < 1e-4 * abs(expected_loss)
    # Some derivatives are 0 but for rounding: of what normalisation takes away again.
    norms = {name: np.linalg.norm(change) for name, change in expected.items()}
    least = 1e-2 * max(norms.values())
    for name, change in changes.items():
        apart = np.linalg.norm(change - expected[name])
        assert apart < 3e-2 * max(norms[name], least), name


@pytest.mark.parametrize(
    ("make", "size", "fields"),
    [
        (models.googlenet, 32, ("logits", "aux_logits2", "aux_logits1")),
        (models.inception_v3, 299, ("logits", "aux_logits")),
    ],
)
@pytest.mark.usefixtures("blank")
def test_auxiliary_classifiers_speak_in_training_only(make, size, fields):
    net = make(5, dropout=0.0)
    x = plait.zeros((2, 3, size, size))
    result = net(x)
    assert result._fields == fields
    assert [row.shape for row in result] == [(2, 5)] * len(fields)
    assert net.eval()(x).shape == (2, 5)
    without = make(5, aux_logits=False)
    assert not [name for name in without.state_dict() if "aux" in name.lower()]
    assert without(x).shape == (2, 5)


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("make", [models.googlenet, models.inception_v3])
def test_colours_are_changed_to_the_nets_own(make):
    own, usual = make(3, transform_input=True), make(3)
    shapes = {name: tensor.shape for name, tensor in own.state_dict().items()}
    state = weights.weights(shapes, 1.4)
    own.load_state_dict(state)
    usual.load_state_dict(state)
    random = np.random.default_rng(0)
    colours = random.uniform(size=(1, 3, 80, 80))
    mean, std = (np.reshape(row, (3, 1, 1)) for row in models.Input()[2:4])
    given = plait.asarray(((colours - mean) / std).astype(np.float32))
    taken = plait.asarray(((colours - 0.5) / 0.5).astype(np.float32))
    got, expected = own.eval()(given).numpy(), usual.eval()(taken).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


# --- weights in files


def test_weights_come_from_a_file(tmp_path):
    net = models.squeezenet1_1(3)
    nn.save_weights(net, tmp_path / "a.safetensors")
    again = models.squeezenet1_1(3, tmp_path / "a.safetensors")
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), tensor.numpy())
    with pytest.raises(PlaitError, match=r"classifier\.1\.weight"):
        models.squeezenet1_1(4, tmp_path / "a.safetensors")
    with pytest.raises(PlaitError, match=r"missing|lack"):
        models.squeezenet1_0(3, tmp_path / "a.safetensors")


def renamed(tmp_path, name, rename, **options):
    """Load a model's weights from a file in which they have other names."""
    net = models.get_model(name, **options)
    state = {rename(key): tensor for key, tensor in net.state_dict().items()}
    assert state.keys() != net.state_dict().keys()
    state.pop("", None)
    nn.save_weights(state, tmp_path / "old.safetensors")
    again = models.get_model(name, weights=tmp_path / "old.safetensors", **options)
    for key, tensor in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key].numpy(), tensor.numpy())


@pytest.mark.usefixtures("blank")
def test_older_names_of_densenet(tmp_path):
    def old(name):
        if "denselayer" not in name:
            return name
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(part, f"{part[:-1]}.{part[-1]}")
        return name

    assert old("denseblock1.denselayer1.norm1.weight").endswith("1.norm.1.weight")
    renamed(tmp_path, "densenet121", old, block_config=(2, 1))


@pytest.mark.usefixtures("blank")
def test_older_names_of_vit(tmp_path):
    def old(name):
        return name.replace("mlp.0.", "mlp.linear_1.").replace(
            "mlp.3.", "mlp.linear_2."
        )

    renamed(
        tmp_path, "vit_b_16", old, image_size=32, num_layers=2, hidden_dim=24, mlp_dim=8
    )


HUGGING_FACE = {
    "class_token": "vit.embeddings.cls_token",
    "encoder.pos_embedding": "vit.embeddings.position_embeddings",
    "conv_proj": "vit.embeddings.patch_embeddings.projection",
    "encoder.layers.encoder_layer_": "vit.encoder.layer.",
    "encoder.ln": "vit.layernorm", "heads.head": "classifier",
    "ln_1": "layernorm_before", "ln_2": "layernorm_after",
    "self_attention.out_proj": "attention.output.dense",
    "mlp.0": "intermediate.dense", "mlp.3": "output.dense",
}  # fmt: skip
TIMM = {
    "class_token": "cls_token", "encoder.pos_embedding": "pos_embed",
    "conv_proj": "patch_embed.proj", "encoder.layers.encoder_layer_": "blocks.",
    "encoder.ln": "norm", "heads.head": "head", "ln_1": "norm1", "ln_2": "norm2",
    "self_attention.in_proj_": "attn.qkv.", "self_attention.out_proj": "attn.proj",
    "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2",
}  # fmt: skip


@pytest.mark.parametrize("others", [HUGGING_FACE, TIMM], ids=["transformers", "timm"])
def test_vit_from_files_of_other_libraries(tmp_path, others):
    sizes = {
        "image_size": 32, "num_layers": 2, "hidden_dim": 24, "mlp_dim": 8,
        "num_heads": 2, "num_classes": 5,
    }  # fmt: skip
    net = models.vit_b_16(**sizes)
    state = {}
    for name, tensor in net.state_dict().items():
        for own, other in others.items():
            name = name.replace(own, other)
        front, apart, kind = name.partition("self_attention.in_proj_")
        if apart:
            for key, part in zip(
                ("query", "key", "value"), plait.chunk(tensor, 3), strict=True
            ):
                state[f"{front}attention.attention.{key}.{kind}"] = part
        else:
            state[name] = tensor
    nn.save_weights(state, tmp_path / "a.safetensors")
    again = models.vit_b_16(weights=tmp_path / "a.safetensors", **sizes)
    for key, tensor in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key].numpy(), tensor.numpy())


@pytest.mark.usefixtures("blank")
def test_files_that_do_not_count_batches(tmp_path):
    def old(name):
        return "" if name.endswith("num_batches_tracked") else name

    renamed(tmp_path, "resnet18", old)


# --- errors


def message(call, kind=ArgumentError):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


def test_unknown_names():
    text = message(lambda: models.get_model("resnet51"))
    assert text.startswith(
        "[models] there is no model of that name. Got: 'resnet51'. Expected: alexnet, "
    )
    text = message(lambda: models.prepare(np.zeros((3, 3, 3), np.uint8), "resnet51"))
    assert "'resnet51'" in text


def test_models_without_trained_weights():
    assert message(lambda: models.resnet18(weights="DEFAULT")) == (
        "[resnet18] weights are read from files. Got: weights='DEFAULT'. Expected: the "
        "path of a .pth or .safetensors file."
    )
    text = message(lambda: models.squeezenet1_0(weights="imagenet"))
    assert text.startswith(
        "[squeezenet1_0] no package is known that has trained weights of this model. "
        "Got: weights='imagenet'. Expected: a file."
    )
    assert "efficientnet_lite0" in text


@pytest.mark.usefixtures("blank")
def test_wrong_arguments():
    cases = {
        "[ResNet] replace_stride_with_dilation is for three stages. Got: (True,). "
        "Expected: three values.": partial(
            models.resnet50, replace_stride_with_dilation=(True,)
        ),
        "[BasicBlock] knows neither groups nor widths nor dilation. Got: groups=2, "
        "base_width=64, dilation=1. Fix: use Bottleneck.": partial(
            models.resnet18, groups=2
        ),
        "[SqueezeNet] unknown version. Got: '2'. Expected: '1_0' or '1_1'.": partial(
            models.SqueezeNet, "2"
        ),
        "[ShuffleNetV2] there are three stages, and five numbers of channels. Got: "
        "(1,) and (2,).": partial(models.ShuffleNetV2, (1,), (2,)),
        "[MNASNet] alpha must be above 0. Got: alpha=0.": partial(models.MNASNet, 0),
        "[MobileNetV2] a stage is given by four numbers. Got: [(1, 2)]. Expected: "
        "expansion, channels, how many blocks, stride.": partial(
            models.MobileNetV2, inverted_residual_setting=[(1, 2)]
        ),
        "[RegNet] the widths do not grow. Got: w_0=7, w_a=1, w_m=2. Expected: w_0 a "
        "multiple of 8, w_a at least 0, w_m above 1.": partial(
            models.regnet.stage_sizes, 4, 7, 1, 2, 8
        ),
        "[VisionTransformer] the patches do not divide the picture. Got: "
        "image_size=30, patch_size=16.": partial(models.vit_b_16, image_size=30),
    }
    for expected, call in cases.items():
        assert message(call) == expected


def test_a_transformer_takes_one_size():
    net = models.vit_b_32(3, image_size=64, num_layers=1, hidden_dim=24, mlp_dim=8)
    assert message(lambda: net(plait.zeros((1, 3, 32, 64))), ShapeError) == (
        "[VisionTransformer] the picture has another size. Got: shape (1, 3, 32, 64). "
        "Expected: (n, 3, 64, 64). Fix: make the model with another image_size, or "
        "resize the pictures."
    )


# --- pieces


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("window", [3, 5])
def test_tensorflows_padding(size, window):
    layer = models.efficientnet_lite.Conv2dSame(2, 3, window, 2)
    x = np.random.default_rng(0).normal(size=(1, 2, size, size)).astype(np.float32)
    count = -(-size // 2)
    total = max((count - 1) * 2 + window - size, 0)
    padded = np.pad(x, ((0, 0), (0, 0), *[(total // 2, total - total // 2)] * 2))
    weight = layer.weight.numpy()
    rows = [
        [
            (padded[:, :, 2 * i :, 2 * j :][..., :window, :window] * weight).sum(
                (1, 2, 3)
            )
            for j in range(count)
        ]
        for i in range(count)
    ]
    expected = np.moveaxis(np.array(rows), -1, 0) + layer.bias.numpy()[:, None, None]
    got = layer(plait.asarray(x)).numpy()[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_residual_branches_can_begin_at_0():
    net = models.ResNet(models.BasicBlock, (1, 1, 1, 1), 3, zero_init_residual=True)
    for name, parameter in net.named_parameters():
        if name.endswith("bn2.weight"):
            assert not parameter.numpy().any()


def test_widths_of_mobilenets():
    thin = models.mobilenet_v3_small(3, width_mult=0.5, reduced_tail=True, dilated=True)
    assert thin.classifier[0].out_features == 256
    assert thin.eval()(plait.zeros((1, 3, 64, 64))).shape == (1, 3)
    assert models.mobilenet_v2(3, width_mult=0.35).features[0].out_channels == 16
    assert [models.layers.divisible(x) for x in (3, 11, 12, 17.9, 76)] == [
        8, 16, 16, 24, 80,
    ]  # fmt: skip


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.googlenet(2)
        models.inception_v3(2)
