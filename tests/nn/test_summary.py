"""The table of a module's layers."""

import numpy as np
import pytest

import plait
from plait import errors, nn
from plait.ir.evaluate import Interpreted


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 2)
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.drop = nn.Dropout()

    def forward(self, x, y=None):
        x = self.body(x)
        x = self.head(self.head(x)[..., :1] * x) * self.scale
        return {"result": self.drop(x), "pair": [x, x.sum()]}


def test_rows_and_totals():
    model = Model()
    model.head.bias.requires_grad_(False)
    found = nn.summary(model, (3, 4))
    rows = [(row.name, row.depth, row.layer, row.parameters) for row in found.rows]
    assert rows == [
        ("", 0, "Model", 2),
        ("body", 1, "Sequential", 0),
        ("body.0", 2, "Linear", 40),
        ("body.1", 2, "BatchNorm1d", 16),
        ("body.2", 2, "ReLU", 0),
        ("head", 1, "Linear", 18),
        ("head", 1, "Linear", 0),
        ("drop", 1, "Dropout", 0),
    ]
    assert found.rows[0].shapes == ((3, 2), (3, 2), ())
    assert found.rows[2].shapes == ((3, 8),)
    assert (found.parameters, found.trainable, found.buffers) == (76, 74, 17)
    assert found.state_bytes == 4 * (76 + 16) + 8
    assert found.output_bytes == 4 * (3 * 8 * 3 + 2 * 3 * 2 + 3 * 2)
    lines = str(found).splitlines()
    assert lines[0].split() == ["Layer", "Output", "shape", "Parameters"]
    assert lines[4].split() == ["0:", "Linear", "(3,", "8)", "40"]
    assert "Parameters: 76 (74 trainable)" in lines


def test_nothing_is_computed_and_nothing_changes(monkeypatch):
    model = Model()
    model.body.eval()
    plait.flush()
    pending = plait.ones(2) + 1
    before = {name: x.numpy() for name, x in model.state_dict().items()}
    draws = plait.random.default_generator.state_dict()
    modes = [module.training for module in model.modules()]
    with monkeypatch.context() as patch:
        patch.setattr(Interpreted, "run", lambda *_: pytest.fail("something ran"))
        nn.summary(model, (3, 4))
    assert [module.training for module in model.modules()] == modes
    assert plait.random.default_generator.state_dict() == draws
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x.numpy(), before[name])
    assert pending.tolist() == [2.0, 2.0]
    assert all(isinstance(x, plait.Tensor) for x in model.parameters())
    result = model(plait.ones(3, 4))["result"]
    assert result.shape == (3, 2)


def test_inputs_by_example_and_by_dtype():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    for given in (plait.tensor([[1, 2]]), np.array([[1, 2]])):
        assert nn.summary(model, given).rows[0].shapes == ((1, 2, 2),)
    found = nn.summary(model, (7,), dtype=plait.int64)
    assert found.rows[0].shapes == ((7, 2),)
    found = nn.summary(nn.Bilinear(2, 3, 4), (5, 2), (5, 3))
    assert found.rows[0].shapes == ((5, 4),)
    with pytest.raises(errors.ArgumentTypeError, match="a shape or an example"):
        nn.summary(model, "x")


def test_errors_name_the_layer():
    model = Model()
    with pytest.raises(errors.ShapeError) as info:
        nn.summary(model, (3, 5))
    assert info.value.layer == "body.0"
    assert model.training
    assert isinstance(model.scale, nn.Parameter)
    assert model(plait.ones(3, 4))["result"].shape == (3, 2)


def test_a_module_that_looks_at_values():
    class Looking(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(errors.TracingError, match="looks at values"):
        nn.summary(Looking(), (2,))


def test_a_module_that_draws_in_evaluation_mode():
    class Drawing(nn.Module):
        def forward(self, x):
            return x + plait.randn(*x.shape)

    assert nn.summary(Drawing(), (2, 3)).rows[0].shapes == ((2, 3),)
