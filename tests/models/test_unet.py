"""U-Net: a class for each pixel, whatever the sizes are."""

import numpy as np
import pytest

import plait
from plait import models, nn, optim

from . import other_references, references, weights


def test_shapes():
    net = models.UNet(3, n_channels=1, width=2).eval()
    for height, width in ((16, 16), (37, 50)):
        assert net(plait.zeros((2, 1, height, width))).shape == (2, 3, height, width)
    assert "up1.up.weight" in net.state_dict()
    smooth = models.UNet(3, n_channels=1, width=2, bilinear=True)
    assert "up1.up.weight" not in smooth.state_dict()
    assert smooth.eval()(plait.zeros((1, 1, 37, 18))).shape == (1, 3, 37, 18)


def test_it_finds_squares():
    plait.manual_seed(0)
    random = np.random.default_rng(0)
    pictures = random.normal(0, 0.3, (8, 1, 16, 16)).astype(np.float32)
    where = np.zeros((8, 16, 16), np.int64)
    for i, (y, x) in enumerate(random.integers(0, 10, (8, 2))):
        where[i, y : y + 6, x : x + 6] = 1
    pictures[:, 0] += where
    net = models.UNet(2, n_channels=1, width=4)
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(25):
        loss = loss_function(net(plait.asarray(pictures)), plait.asarray(where))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = net(plait.asarray(pictures)).numpy().argmax(1)
    assert (said == where).mean() > 0.95


@pytest.mark.parametrize("bilinear", [False, True])
def test_beside_pytorch(bilinear):
    if references.libraries() is None:
        pytest.skip("torchvision is not installed")
    options = {"num_classes": 3, "n_channels": 2, "bilinear": bilinear, "width": 4}
    theirs = other_references.NETS["unet"](**options).eval()
    theirs = references.filled(theirs, 1.0)
    own = models.UNet(**options).eval()
    state = {name: x.numpy() for name, x in theirs.state_dict().items()}
    assert list(state) == list(own.state_dict())
    own.load_state_dict(state)
    x = weights.pictures(2, 2, 37)
    torch, _ = references.libraries()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    assert weights.difference(own(plait.asarray(x)).numpy(), expected) < 1e-4
