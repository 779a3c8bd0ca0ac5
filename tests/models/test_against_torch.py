"""Models beside torchvision's and timm's: results, initial values, files."""

import numpy as np
import pytest

import plait
from plait import models

from . import references, weights

found = references.libraries()
if found is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)
torch, torchvision = found

# benchmarks/zoo.py compares all.
COMPARED = ("vgg11_bn", "resnext50_32x4d", *weights.KEPT)
# timm draws other initial values.
DRAWN = tuple(name for name in weights.KEPT if name not in references.TIMM)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def expected_net(name, **options):
    if name in references.TIMM:
        pytest.importorskip("timm")
    return references.reference(name, **options)


@pytest.mark.parametrize("name", COMPARED)
def test_results(name):
    theirs = references.randomised(expected_net(name), name)
    own = models.get_model(name, **references.OPTIONS.get(name, {})).eval()
    state = {key: tensor.numpy() for key, tensor in theirs.state_dict().items()}
    assert list(state) == list(own.state_dict())
    own.load_state_dict(state)
    got = own(plait.asarray(references.inputs(name))).numpy()
    assert weights.difference(got, references.result(theirs, name)) < 2e-4


@pytest.mark.parametrize("name", DRAWN)
def test_initial_values(name):
    plait.manual_seed(0)
    torch.manual_seed(0)
    options = {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    theirs = expected_net(name, **options).state_dict()
    own = models.get_model(name, **references.OPTIONS.get(name, {})).state_dict()
    for key, tensor in own.items():
        got, expected = tensor.numpy(), theirs[key].numpy()
        if expected.std() < 1e-5 or expected.size < 1000:
            # All the same (or nearly: offsets of 1e-6), or too few for statistics.
            if np.unique(expected).size == 1:
                assert (got == expected).all(), key
            continue
        # Means of n numbers differ by some standard deviations / sqrt(n).
        few = 6 / expected.size**0.5
        assert abs(got.std() / expected.std() - 1) < few, key
        assert abs(got.mean() - expected.mean()) < few * expected.std(), key
        assert abs(got).max() < 1.6 * abs(expected).max(), key


def test_a_file_of_torch(tmp_path):
    theirs = references.randomised(references.reference("resnet18"), "resnet18")
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    own = models.resnet18(weights=tmp_path / "resnet18.pth").eval()
    got = own(plait.asarray(references.inputs("resnet18"))).numpy()
    assert weights.difference(got, references.result(theirs, "resnet18")) < 1e-4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet50", {"replace_stride_with_dilation": [False, True, True]}),
        ("mobilenet_v3_large", {"reduced_tail": True, "dilated": True}),
        ("mobilenet_v2", {"width_mult": 0.5, "num_classes": 7}),
        ("vit_b_32", {"representation_size": 5}),
        ("efficientnet_b0", {"num_classes": 3}),
    ],
)
def test_options(name, options):
    theirs = references.randomised(expected_net(name, **options), name)
    own = models.get_model(name, **references.OPTIONS.get(name, {}), **options).eval()
    state = {key: tensor.numpy() for key, tensor in theirs.state_dict().items()}
    own.load_state_dict(state)
    got = own(plait.asarray(references.inputs(name))).numpy()
    assert weights.difference(got, references.result(theirs, name)) < 2e-4


def vit_of_timm(path):
    timm = pytest.importorskip("timm.models.vision_transformer")
    net = timm.VisionTransformer(
        32, embed_dim=24, depth=2, num_heads=2, mlp_ratio=0.5, num_classes=5
    )
    references.filled(net.eval(), 1.0)
    state = {name: plait.asarray(x.numpy()) for name, x in net.state_dict().items()}
    plait.nn.save_weights(state, path / "model.safetensors")
    return net


def vit_of_transformers(path):
    library = pytest.importorskip("transformers")
    config = library.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=12, image_size=32, num_labels=5,
    )  # fmt: skip
    net = library.ViTForImageClassification(config)
    references.filled(net.eval(), 1.0).save_pretrained(path)
    return net


@pytest.mark.parametrize("make", [vit_of_timm, vit_of_transformers])
def test_vit_of_other_libraries(make, tmp_path):
    theirs = make(tmp_path)
    own = models.vit_b_16(
        weights=tmp_path / "model.safetensors", image_size=32, num_layers=2,
        num_heads=2, hidden_dim=24, mlp_dim=12, num_classes=5,
    ).eval()  # fmt: skip
    x = weights.pictures(3, 3, 32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x))
    expected = getattr(expected, "logits", expected).numpy()
    assert weights.difference(own(plait.asarray(x)).numpy(), expected) < 1e-4
