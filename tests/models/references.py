"""The same nets in PyTorch: torchvision's and timm's, or written out here.

Nothing here is needed but for comparing with them; see `reference`.
"""

import importlib

from . import other_references, weights

LIBRARIES = ("torch", "torchvision")
# Where a model is not torchvision's of the same name.
TIMM = {"efficientnet_lite0": "tf_efficientnet_lite0"}
TIMM |= {name: name for name in ("resnetv2_50", "resnetv2_101", "resnetv2_152")}
TIMM |= {
    "mobilenet_v1": "mobilenetv1_100", "xception": "legacy_xception",
    "nasnet_large": "nasnetalarge", "inception_resnet_v2": "inception_resnet_v2",
}  # fmt: skip
# Where pictures are not of 64 x 64 pixels.
SIZES = {
    "lenet": 32,
    "inception_v3": 107,
    "alexnet": 96,
    "xception": 80,
    "unet": 32,
    "inception_resnet_v2": 96,
}
CHANNELS = {"lenet": 1}
# Options, for both sides, that make a model take small pictures.
OPTIONS = {
    name: {"image_size": size}
    for name, size in {
        "vit_b_16": 64, "vit_b_32": 64, "vit_l_16": 64, "vit_l_32": 64, "vit_h_14": 56,
    }.items()
}  # fmt: skip
SIZES |= {name: options["image_size"] for name, options in OPTIONS.items()}


def libraries():
    """Return torch and torchvision, or None if they are not installed."""
    try:
        torch = importlib.import_module("torch")
        if not hasattr(torch.ops.torchvision, "nms"):
            # Builds for other machines than this lack its compiled part, which nets
            # do not need.
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(
                    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            libraries.kept = library
        return torch, importlib.import_module("torchvision")
    except ImportError:
        return None


def reference(name, **options):
    """Return the net of a name in PyTorch, with random weights, in evaluation mode.

    Language models are without numbers, unless options have `device="cpu"`.
    """
    torch, torchvision = libraries()
    options = {**OPTIONS.get(name, {}), **options}
    if name == "lenet":
        return _lenet(torch.nn, **options).eval()
    if name in other_references.NETS:
        return other_references.NETS[name](**options).eval()
    if name in TIMM:
        timm = importlib.import_module("timm")
        return timm.create_model(TIMM[name], **options).eval()
    if name in ("googlenet", "inception_v3"):
        options.setdefault("init_weights", False)
    return getattr(torchvision.models, name)(**options).eval()


def _lenet(nn, num_classes=10):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
                nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            )  # fmt: skip
            self.classifier = nn.Sequential(
                nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
                nn.Linear(84, num_classes),
            )  # fmt: skip

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    return Net()


def inputs(name):
    """Return three random inputs of a model, as small as it takes them; an array."""
    if name in other_references.TEXTS:
        return weights.tokens(3, 16)
    return weights.pictures(3, CHANNELS.get(name, 3), SIZES.get(name, 64))


def result(net, name):
    """Return what a net of PyTorch makes of the inputs, as an array of its dtype."""
    torch, _ = libraries()
    x = torch.from_numpy(inputs(name))
    if x.is_floating_point():
        x = x.to(next(net.parameters()).dtype)
    with torch.no_grad():
        found = net(x)
    # Language models have names for what they return, the first of which counts.
    return (found if isinstance(found, torch.Tensor) else found[0]).numpy()


def filled(net, gain):
    """Return a net of PyTorch with the weights of tests/models/weights.py."""
    torch, _ = libraries()
    state = net.state_dict()
    found = weights.weights({name: x.shape for name, x in state.items()}, gain)
    for name, array in found.items():
        state[name].copy_(torch.from_numpy(array))
    return net


def randomised(net, name):
    """Return a net of PyTorch with weights, and statistics, with which all matters."""
    torch, _ = libraries()
    filled(net, 1.0)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    # Only these train: neither dropout nor auxiliary classifiers.
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    result(net, name)
    generator = torch.Generator().manual_seed(1)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()
        # Few examples have by chance nearly no variance.
        norm.running_var.clamp_(min=0.1)
        norm.running_var.mul_(
            torch.empty_like(norm.running_var).uniform_(0.9, 1.3, generator=generator)
        )
    return net
