"""Exports, loaded as a page loads them: the numbers are those of Python."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.compile.lower import opaque
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    StateDictError,
    TracingError,
)
from plait.export import load_state
from plait.nn import load_weights
from plait.train import TrainStep

from .host import Host

SIMD = {"features": ["simd"], "quiet": True, "page": False}
ROOT = Path(__file__).parents[2]
STEPS = 20
RNG = np.random.default_rng(0)
PIXELS = RNG.random((STEPS, 16, 12)).astype(np.float32)
LABELS = PIXELS[..., :3].argmax(-1)


def new_model(seed=0):
    plait.manual_seed(seed)
    return nn.Sequential(
        *(nn.Linear(12, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU()),
        *(nn.Dropout(0.2), nn.Linear(16, 3)),
    )


def new_step(optimizer=optim.Adam, seed=0, **named):
    model = new_model(seed)
    return TrainStep(
        model, nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=0.02), **named
    )


def asked(model, x):
    """Return what a model says in evaluation mode."""
    model.eval()
    with plait.no_grad():
        return model(plait.asarray(x)).numpy()


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def function_of(host, symbol):
    (found,) = [x for x in host.manifest["functions"] if x["symbol"] == symbol]
    return found


# --- what is computed


def test_predictions(tmp_path):
    model = new_model()
    with plait.no_grad():
        model(plait.asarray(PIXELS[0]))  # the averages move
    labels = ["a", "b", "c"]
    plait.export(
        model, tmp_path, inputs=(5, 12), rows=[16, 1, 16], labels=labels,
        notes={"mean": 0.5}, **SIMD,
    )  # fmt: skip
    host = Host(tmp_path)
    assert [x["symbol"] for x in host.manifest["functions"]] == [
        "predict_1",
        "predict_16",
    ]
    assert all(x["rows"] for x in host.manifest["functions"])
    assert host.manifest["name"] == "sequential"
    assert host.manifest["labels"] == labels
    assert host.manifest["notes"] == {"mean": 0.5}
    assert "random.key" not in host.state()
    assert model.training
    wanted = asked(model, PIXELS[0])
    for _ in range(2):  # what lasts is made in the first call
        close(host.call("predict_16", PIXELS[0])["output"], wanted)
        close(host.call("predict_1", PIXELS[0][:1])["output"], wanted[:1])
    other = new_model(seed=1)
    nn.save_weights(other, tmp_path / "other.safetensors")
    host.restore(tmp_path / "other.safetensors")
    close(host.call("predict_16", PIXELS[0])["output"], asked(other, PIXELS[0]))


@pytest.mark.parametrize("build", [0, 1])
def test_training_goes_from_page_to_python_and_back(tmp_path, build):
    def losses(step, begin, end):
        return [step(PIXELS[i], LABELS[i]).item() for i in range(begin, end)]

    def in_page(host, begin, end):
        return [
            host.call("train_step", PIXELS[i], LABELS[i])["loss"].item()
            for i in range(begin, end)
        ]

    expected = new_step(clip_norm=1.0)
    wanted = losses(expected, 0, STEPS)
    after = expected.state()
    plait.export(
        new_step(clip_norm=1.0), tmp_path, inputs=(16, 12), target=LABELS[0],
        features=["simd", "relaxed"], quiet=True, page=False,
    )  # fmt: skip
    host = Host(tmp_path, build)
    found = in_page(host, 0, 7)
    host.save(tmp_path / "page.safetensors")
    step = new_step(seed=8, clip_norm=1.0)
    step.load(tmp_path / "page.safetensors")
    found += losses(step, 7, 14)
    step.save(tmp_path / "python.safetensors")
    host = Host(tmp_path, build)
    host.restore(tmp_path / "python.safetensors")
    found += in_page(host, 14, STEPS)
    close(found, wanted)
    assert wanted[0] - wanted[-1] > 0.05
    for name, x in after.items():
        np.testing.assert_allclose(host.state()[name], x.numpy(), 1e-3, 1e-5, name)
    close(host.call("predict", PIXELS[0])["output"], asked(expected.model, PIXELS[0]))


def test_rates_are_inputs_of_a_step(tmp_path):
    plait.export(
        new_step(), tmp_path, inputs=(16, 12), target=LABELS[0].astype(np.int32), **SIMD
    )
    host = Host(tmp_path)
    *_, rate, small = function_of(host, "train_step")["inputs"]
    assert (rate["name"], rate["default"], rate["role"]) == (
        *("lr", 0.02),
        "hyperparameter",
    )
    assert (small["name"], small["dtype"], small["shape"]) == ("eps", "float64", [])
    slow = new_step()
    slow.optimizer.param_groups[0]["lr"] = 1e-3
    for i in range(3):
        found = host.call("train_step", PIXELS[i], LABELS[i], lr=1e-3)["loss"]
        close(found, slow(PIXELS[i], LABELS[i]).item())


def test_the_loss_is_evaluated(tmp_path):
    step = new_step()
    step(PIXELS[0], LABELS[0])
    plait.export(
        step, tmp_path, inputs=(16, 12), target=LABELS[0], evaluate=True, **SIMD
    )
    host = Host(tmp_path)
    before = host.state()
    found = host.call("evaluate", PIXELS[1], LABELS[1])
    wanted = asked(step.model, PIXELS[1])
    close(found["output"], wanted)
    loss = plait.cross_entropy(plait.asarray(wanted), plait.asarray(LABELS[1]))
    close(found["loss"], loss.numpy())
    assert all((host.state()[name] == x).all() for name, x in before.items())
    places = function_of(host, "evaluate")["inputs"]
    assert [x["name"] for x in places] == ["input", "target"]
    wrong = LABELS[1].copy()
    wrong[3] = 3
    line = host.call("evaluate", PIXELS[1], wrong)
    assert re.fullmatch(r"test_export\.py:\d+", line)


def test_a_wrong_label_ends_a_step_before_anything_changes(tmp_path):
    plait.export(new_step(), tmp_path, inputs=(16, 12), target=LABELS[0], **SIMD)
    host = Host(tmp_path)
    before = host.state()
    wrong = LABELS[0].copy()
    wrong[3] = 3
    line = host.call("train_step", PIXELS[0], wrong)
    assert re.fullmatch(r"test_export\.py:\d+", line)
    after = host.state()
    assert all((after[name] == x).all() for name, x in before.items())


def test_parameters_without_effect_stay_as_in_a_loop(tmp_path):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(12, 3), nn.Linear(12, 3)

        def forward(self, x):
            return self.used(x)

    plait.manual_seed(0)
    model = Half()
    optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    plait.export(step, tmp_path, inputs=(16, 12), target=LABELS[0], **SIMD)
    host = Host(tmp_path)
    host.call("train_step", PIXELS[0], LABELS[0])
    step(PIXELS[0], LABELS[0])
    for name, x in step.state().items():
        close(host.state()[name], x.numpy())


def test_functions_of_tensors(tmp_path):
    table = plait.asarray(RNG.random((50, 40)).astype(np.float32))

    def mixed(x, pair, *, scale):
        a, b = pair
        return {"sum": x @ table + a * scale, "rest": (b, plait.tensor([1.0, 2.0]) * 3)}

    inputs = {
        "x": (2, 50), "pair": [np.zeros(40, np.float32), np.zeros((3,), np.int32)],
        "scale": (),
    }  # fmt: skip
    plait.export(mixed, tmp_path, inputs=inputs, **SIMD)
    host = Host(tmp_path)
    one = function_of(host, "call_mixed")
    names = [place["name"] for place in one["inputs"]]
    assert names == ["x", "pair.0", "pair.1", "scale"]
    assert [x["name"] for x in host.manifest["state"]] == ["constant.0"]
    x, a, b = RNG.random((2, 50)), RNG.random(40), np.arange(3)
    found = host.call("mixed", x, a, b, np.float32(0.5))
    close(found["sum"], x @ table.numpy() + a * 0.5)
    assert found["rest.0"].tolist() == [0, 1, 2]
    assert found["rest.1"].tolist() == [3, 6]


@pytest.mark.parametrize("name", ["memory", "k0", "memset", "größe", "two words"])
def test_a_function_may_have_any_name(tmp_path, name):
    def function(x):
        return x * 2

    function.__name__ = name
    plait.export(function, tmp_path, inputs=(2,), targets=["wasm", "c"], **SIMD)
    host = Host(tmp_path)
    assert host.manifest["name"] == name
    found = host.call(name, np.array([1, 2], np.float32))
    assert found["output"].tolist() == [2, 4]


def test_draws_go_on_as_in_python(tmp_path):
    def noisy(x):
        return x + plait.randn(3), plait.dropout(x, 0.5)

    plait.manual_seed(4)
    plait.rand(1)
    plait.export(noisy, tmp_path, inputs=(3,), **SIMD)
    host = Host(tmp_path)
    for _ in range(3):
        x = np.ones(3, np.float32)
        found = host.call("noisy", x)
        for one, wanted in zip(found.values(), noisy(plait.asarray(x)), strict=True):
            close(one, wanted.numpy())
    assert host.state()["random.key"].tolist() == [4, 0, 7, 0]


def test_draws_that_could_not_go_on_are_refused(tmp_path):
    own = plait.Generator(0)
    for draw in (lambda x: x + plait.rand(3, generator=own),
                 lambda x: plait.dropout(x, 0.5, key=own.next_key())):  # fmt: skip
        with pytest.raises(TracingError, match=r"without a key inside export"):
            plait.export(draw, tmp_path / "web", inputs=(3,), **SIMD)


def test_a_cache_of_attention_is_passed_through(tmp_path):
    class Next(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, token, keys, values, position):
            cache = nn.KVCache(1, 2, 6, 4)
            cache.keys, cache.values, cache.position = keys, values, position
            out, _ = self.attention(
                token, token, token, need_weights=False, cache=cache
            )
            return {
                "output": out, "keys": cache.keys, "values": cache.values,
                "position": cache.position,
            }  # fmt: skip

    plait.manual_seed(0)
    model = Next()
    room = (1, 2, 6, 4)
    start = [np.zeros(room, np.float32), np.zeros(room, np.float32), np.int64(0)]
    plait.export(model, tmp_path, inputs=[(1, 1, 8), *start], **SIMD)
    host = Host(tmp_path)
    cache = nn.KVCache(1, 2, 6, 4)
    token = RNG.random((1, 1, 8)).astype(np.float32)
    given = start
    for _ in range(4):
        with plait.no_grad():
            t = plait.asarray(token)
            wanted, _ = model.attention(t, t, t, need_weights=False, cache=cache)
        found = host.call("predict", token, *given)
        close(found["output"], wanted.numpy())
        given = [found[name] for name in ("keys", "values", "position")]
        token = found["output"]


def test_a_weight_with_two_names_is_there_once(tmp_path):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    x = RNG.random((2, 4)).astype(np.float32)
    plait.export(step, tmp_path, inputs=x, target=x, **SIMD)
    host = Host(tmp_path)
    assert "2.weight" not in host.state()
    host.call("train_step", x, x)
    step(plait.asarray(x), plait.asarray(x))
    wanted = step.state()
    step.load_state(host.state())
    for name, value in step.state().items():
        close(value.numpy(), wanted[name].numpy())


# --- what is stored


@pytest.mark.parametrize(("way", "error"), [("f16", 1e-3), ("int8", 2e-2)])
def test_quantized_weights(tmp_path, way, error):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 3))
    plait.export(model, tmp_path, inputs=(16, 12), quantize=way, **SIMD)
    host = Host(tmp_path)
    stored = [x.get("stored") for x in host.manifest["state"]]
    assert [x is None for x in stored] == [False, True, False, True]
    state = load_state(tmp_path)
    assert state.keys() == model.state_dict().keys()
    rounded = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 3))
    rounded.load_state_dict(state)
    found = host.call("predict", PIXELS[0])["output"]
    close(found, asked(rounded, PIXELS[0]))
    wanted = asked(model, PIXELS[0])
    assert 0 < np.abs(found - wanted).max() < error
    size = {"f16": 2, "int8": 1}[way]
    assert (tmp_path / "weights.safetensors").stat().st_size < 1200 + 960 * size


def test_what_an_optimizer_begins_with_is_not_stored_where_it_is_zero(tmp_path):
    def written(step, name):
        plait.export(step, tmp_path / name, inputs=(16, 12), target=LABELS[0], **SIMD)
        return load_weights(tmp_path / name / "weights.safetensors").keys()

    fresh, changed = new_step(), new_step()
    changed(PIXELS[0], LABELS[0])
    kept = {name for name in fresh.state() if name.startswith("optimizer.")}
    assert len(kept) == 1 + 2 * 5
    assert kept & written(fresh, "fresh") == {"optimizer.step"}
    assert kept & written(changed, "changed") == kept
    host = Host(tmp_path / "fresh")
    assert not host.state()["optimizer.0.weight.exp_avg"].any()
    # They are there again for whoever reads the folder or the file.
    wanted = fresh.state()
    state = load_state(tmp_path / "fresh")
    assert state.keys() == wanted.keys()
    changed.load(tmp_path / "fresh" / "weights.safetensors")
    for found in (state, changed.state()):
        for name, x in wanted.items():
            np.testing.assert_array_equal(found[name].numpy(), x.numpy(), name)
    # Later they must not be missing.
    state = {name: x for name, x in new_step().state().items() if name not in kept}
    with pytest.raises(StateDictError, match=r"missing: optimizer\.0\.weight"):
        changed.load_state({**state, "optimizer.step": plait.tensor(3)})


def test_scales_of_rows(tmp_path):
    model = nn.Linear(3, 4, bias=False)
    weight = [[127, -64, 1], [0, 0, 0], [1e-30, -1e-30, 0], [0.5, 0.25, -0.5]]
    model.weight.data = plait.tensor(weight)
    plait.export(model, tmp_path, inputs=(1, 3), quantize="int8", **SIMD)
    found = load_state(tmp_path)["weight"].numpy()
    np.testing.assert_allclose(found, weight, rtol=1e-2, atol=1e-32)
    assert found[0].tolist() == [127, -64, 1]


# --- files


def test_the_folder(tmp_path, capsys):
    folder = tmp_path / "a" / "web"
    model = nn.Linear(2, 2)
    plait.export(model, folder, inputs=(1, 2), rows=1, name="lines & <rows>")
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "compiling program.relaxed.wasm" in out
    files = {path.name for path in folder.iterdir()}
    assert files >= {
        *("manifest.json", "weights.safetensors", "program.wasm"),
        *("program.relaxed.wasm", "plait.js", "index.html", "page.js"),
    }
    for name in files:
        size = f"{(folder / name).stat().st_size:,}"
        assert re.search(rf"^  {re.escape(name)} +{size} +[\d,]+$", out, re.MULTILINE)
    page = (folder / "index.html").read_text()
    assert "<title>lines &amp; &lt;rows&gt;</title>" in page
    assert json.loads((folder / "manifest.json").read_text())["made_by"] == (
        f"plait {plait.__version__}"
    )
    plait.export(model, folder, inputs=(1, 2), **SIMD)
    assert not (folder / "program.relaxed.wasm").exists()
    assert capsys.readouterr().out == ""


def test_a_single_file(tmp_path):
    path = tmp_path / "model.html"
    model = nn.Linear(2, 2)
    plait.export(model, path, inputs=(1, 2), single_file=True, quiet=True)
    text = path.read_text()
    for address in re.findall(
        r"""(?:src|href|from|import)\s*[=(]?\s*["']([^"']+)""", text
    ):
        assert address.startswith(("plait/", "data:")), address
    for name in ("manifest.json", "weights.safetensors", "program.wasm"):
        assert f'"{name}": "' in text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_c(tmp_path):
    model = new_model()
    plait.export(model, tmp_path, inputs=(2, 12), targets="c", name="net", quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("net.o", "net.h"),
        "manifest.json",
    }
    plait.export(model, tmp_path, inputs=(2, 12), targets="c", name="net", quiet=True)
    (tmp_path / "main.c").write_text(
        '#include "net.h"\n'
        "int main(void) {\n"
        "  float x[24], y[6];\n"
        "  for (int i = 0; i < 24; i++) x[i] = 0.1f * i;\n"
        "  if (net_predict(x, y)) return 1;\n"
        '  for (int i = 0; i < 6; i++) printf("%.7g\\n", y[i]);\n'
        "}\n"
    )
    build = ["cc", "-o", "main", "main.c", "net.o"]
    subprocess.run(build, cwd=tmp_path, check=True, timeout=60)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True)
    x = 0.1 * np.arange(24, dtype=np.float32).reshape(2, 12)
    assert done.returncode == 0
    close([float(line) for line in done.stdout.split()], asked(model, x).ravel())


def test_the_program_in_the_documents_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(compile(block, "export.md", "exec"), names)
    assert Host(tmp_path / "web").state().keys() == names["step"].state().keys()


# --- errors


def test_an_op_that_runs_in_python_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.delitem(opaque._TABLE, "svd")

    def values(x):
        return plait.linalg.svdvals(x)

    with pytest.raises(ArgumentError, match=r"runs in Python") as caught:
        plait.export(values, tmp_path / "web", inputs=(5, 7), **SIMD)
    line = values.__code__.co_firstlineno + 1
    assert caught.value.where == f"{__file__}:{line}"
    assert not (tmp_path / "web").exists()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"inputs": "text"}, r"neither array nor shape. Got: a str"),
        ({"targets": ["arm"]}, r"no such target. Got: 'arm'"),
        ({"targets": []}, r"there are no targets"),
        ({"targets": ["c:avx2", "c:neon"]}, r"one object file. Got: c:avx2, c:neon"),
        ({"targets": "c", "single_file": True}, r"for C is more than a single file"),
        ({"targets": "wasm:c"}, r"no such target. Got: 'wasm:c'"),
        ({"features": ["gpu"]}, r"no such build of wasm. Got: 'gpu'"),
        ({"quantize": "int4"}, r"no such way to quantize. Got: 'int4'"),
        ({"rows": [0]}, r"positive integers. Got: \[0\]"),
        ({"inputs": (), "rows": 1}, r"an input has no rows"),
        ({"target": (2,)}, r"only a training step takes a target"),
        ({"evaluate": True}, r"only a training step has a loss to evaluate"),
        ({"single_file": True}, r"a single file is a page"),
    ],
)
def test_wrong_arguments(tmp_path, named, message):
    given = {"inputs": (1, 2), **SIMD, **named}
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        plait.export(nn.Linear(2, 2), tmp_path / "web", **given)
    assert not (tmp_path / "web").exists()


def test_wrong_models(tmp_path):
    folder = tmp_path / "web"
    with pytest.raises(ArgumentTypeError, match=r"cannot be exported. Got: a int"):
        plait.export(3, folder, inputs=(1,), **SIMD)
    with pytest.raises(ArgumentError, match="needs an example of its target"):
        plait.export(new_step(), folder, inputs=(1, 12), **SIMD)
    with pytest.raises(ArgumentError, match="does not return a row for each row"):
        plait.export(lambda x: x.sum(), folder, inputs=(2, 2), rows=[4], **SIMD)
    with pytest.raises(ArgumentError, match="rows of lambda are not independent"):
        plait.export(lambda x: x - x.max(axis=0), folder, inputs=(9, 2), rows=1, **SIMD)
    with pytest.raises(ArgumentTypeError, match="something else than tensors"):
        plait.export(lambda x: "text", folder, inputs=(2,), **SIMD)
    model = nn.Linear(2, 2)
    model.weight.data = plait.full((2, 2), 1e6)
    with pytest.raises(ArgumentError, match=r"weight is too large for 16 bits"):
        plait.export(model, folder, inputs=(1, 2), quantize="f16", **SIMD)
    model.weight.data = plait.full((2, 2), plait.nan)
    with pytest.raises(ArgumentError, match=r"weight is not finite"):
        plait.export(model, folder, inputs=(1, 2), quantize="int8", **SIMD)
    assert not folder.exists()


def test_what_others_wrote_is_not_overwritten(tmp_path):
    model = nn.Linear(2, 2)
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ArgumentError, match="the folder holds something else"):
        plait.export(model, tmp_path, inputs=(1, 2), **SIMD)
    with pytest.raises(ArgumentError, match="this is no folder"):
        plait.export(model, tmp_path / "thesis.txt", inputs=(1, 2), **SIMD)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ArgumentError, match="the folder holds something else"):
        plait.export(model, tmp_path, inputs=(1, 2), **SIMD)
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_manifests(tmp_path):
    plait.export(nn.Linear(2, 2), tmp_path, inputs=(1, 2), **SIMD)
    path = tmp_path / "manifest.json"
    whole = json.loads(path.read_text())
    for change in (
        {"format": "other"},
        {"weights": None},
        {"weights": {"file": "../weights.safetensors"}},
        {"state": [{"name": "weight", "stored": {}}]},
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(FileFormatError, match="is no manifest of an export"):
            load_state(tmp_path)
    path.write_text("{")
    with pytest.raises(FileFormatError):
        load_state(tmp_path)
    assert load_state(tmp_path / "weights.safetensors").keys() == {"weight", "bias"}
