"""Language models: the formulas, generation, folders; and beside Hugging Face's."""

import inspect
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import models, nn, optim
from plait.errors import ArgumentError, FileFormatError, ShapeError
from plait.settings import settings
from plait.train import TrainStep

from . import references, weights

SIZES = {"vocab_size": 23, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2}
BERT_SIZES = {
    "vocab_size": 23, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 9,
}  # fmt: skip
TOKENS = np.random.default_rng(3).integers(1, 23, size=(3, 7))
THERE = np.arange(7) < np.array([[7], [4], [1]])


def filled(net):
    """Return a net in evaluation mode with weights with which all of it matters."""
    state = net.state_dict()
    values = weights.weights({name: x.shape for name, x in state.items()}, 0.9)
    for one, other in getattr(net, "tied", ()):
        values[one] = values[other]
    net.load_state_dict(values)
    return net.eval(), {name: x.astype(np.float64) for name, x in values.items()}


# --- the formulas, in NumPy


def norm(x, state, name, eps):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def attention(q, k, v, allowed):
    """Return the mixture for each of two heads, side by side."""
    found = []
    for head in range(2):
        a, b, c = (np.split(x, 2, axis=-1)[head] for x in (q, k, v))
        scores = a @ np.swapaxes(b, -1, -2) / a.shape[-1] ** 0.5
        shares = np.exp(np.where(allowed, scores, -np.inf))
        found.append(shares / shares.sum(-1, keepdims=True) @ c)
    return np.concatenate(found, -1)


def gpt2(state, tokens):
    def linear(x, name):
        return x @ state[f"{name}.weight"] + state[f"{name}.bias"]

    length = tokens.shape[1]
    x = state["transformer.wte.weight"][tokens]
    x = x + state["transformer.wpe.weight"][:length]
    for i in range(2):
        name = f"transformer.h.{i}"
        joint = linear(norm(x, state, f"{name}.ln_1", 1e-5), f"{name}.attn.c_attn")
        mixed = attention(*np.split(joint, 3, -1), np.tri(length) > 0)
        x = x + linear(mixed, f"{name}.attn.c_proj")
        y = linear(norm(x, state, f"{name}.ln_2", 1e-5), f"{name}.mlp.c_fc")
        y = y / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (y + 0.044715 * y**3)))
        x = x + linear(y, f"{name}.mlp.c_proj")
    return norm(x, state, "transformer.ln_f", 1e-5) @ state["lm_head.weight"].T


def bert(state, tokens, there, kinds):
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = state["embeddings.word_embeddings.weight"][tokens]
    x = x + state["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = x + state["embeddings.token_type_embeddings.weight"][kinds]
    x = norm(x, state, "embeddings.LayerNorm", 1e-12)
    for i in range(2):
        name = f"encoder.layer.{i}"
        parts = [
            linear(x, f"{name}.attention.self.{key}")
            for key in ("query", "key", "value")
        ]
        y = linear(attention(*parts, there[:, None]), f"{name}.attention.output.dense")
        x = norm(x + y, state, f"{name}.attention.output.LayerNorm", 1e-12)
        y = linear(x, f"{name}.intermediate.dense")
        y = linear(y * (1 + erf(y / 2**0.5)) / 2, f"{name}.output.dense")
        x = norm(x + y, state, f"{name}.output.LayerNorm", 1e-12)
    return x, np.tanh(linear(x[:, 0], "pooler.dense"))


def test_gpt2_is_its_formula():
    net, state = filled(models.GPT2(**SIZES))
    got = net(plait.asarray(TOKENS)).numpy()
    np.testing.assert_allclose(got, gpt2(state, TOKENS), rtol=1e-4, atol=1e-4)


def test_bert_is_its_formula():
    net, state = filled(models.BERT(**BERT_SIZES))
    kinds = TOKENS % 2
    got = net(plait.asarray(TOKENS), plait.asarray(THERE), plait.asarray(kinds))
    expected = bert(state, TOKENS, THERE, kinds)
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x.numpy(), y, rtol=1e-4, atol=1e-4)
    alone = net(plait.asarray(TOKENS[1:2, :4])).last_hidden_state.numpy()
    plain = net(plait.asarray(TOKENS), plait.asarray(THERE)).last_hidden_state.numpy()
    np.testing.assert_allclose(plain[1:2, :4], alone, rtol=1e-4, atol=1e-5)
    bare = models.BERT(**BERT_SIZES, add_pooling_layer=False)
    assert bare(plait.asarray(TOKENS)).pooler_output is None


def with_layers(shapes, layers):
    """Return the shapes of a net of so many layers out of those of one layer."""
    found = {}
    for name, shape in shapes.items():
        if ".h.0." not in name:
            found[name] = shape
        elif name.endswith("ln_1.weight"):  # the first of a layer
            for i in range(layers):
                for key, other in shapes.items():
                    if ".h.0." in key:
                        found[key.replace(".h.0.", f".h.{i}.")] = other
    return found


@pytest.mark.parametrize(("name", "layers"), [("gpt2_large", 36), ("gpt2_xl", 48)])
def test_the_state_of_the_giants(name, layers):
    net = models.get_model(name, n_layer=1, vocab_size=1, n_positions=1)
    shapes = {key: x.shape for key, x in net.state_dict().items()}
    tables = {"transformer.wte": 50257, "transformer.wpe": 1024, "lm_head": 50257}
    for key, rows in tables.items():
        shapes[f"{key}.weight"] = (rows, shapes[f"{key}.weight"][1])
    shapes = with_layers(shapes, layers)
    table = json.loads((Path(__file__).parent / "table.json").read_text("utf-8"))
    count = sum(math.prod(shape) for shape in shapes.values())
    found = {
        "parameters": count - math.prod(shapes["lm_head.weight"]),  # a tied one
        "tensors": len(shapes), "checksum": weights.checksum(shapes),
    }  # fmt: skip
    assert found == table[name]
    assert models.names()[name] == found["parameters"]
    build = inspect.unwrap(models.entry(name).build)
    settings = inspect.getclosurevars(build).nonlocals["settings"]
    assert settings["n_layer"] == layers


# --- generation


def likeliest(state, tokens, count):
    for _ in range(count):
        best = gpt2(state, tokens)[:, -1].argmax(-1)
        tokens = np.concatenate([tokens, best[:, None]], 1)
    return tokens


@pytest.mark.parametrize("count", [1, 5])
def test_the_likeliest_tokens(count):
    net, state = filled(models.GPT2(**SIZES))
    got = net.generate(plait.asarray(TOKENS), count).numpy()
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, likeliest(state, TOKENS, count))


def test_drawn_tokens():
    net, state = filled(models.GPT2(**SIZES))
    tokens = plait.asarray(np.repeat(TOKENS[:1], 800, 0))
    draw = partial(net.generate, tokens, 2, do_sample=True, key=plait.random.key(0))
    got = draw(temperature=2.0).numpy()
    np.testing.assert_array_equal(got, draw(temperature=2.0).numpy())
    scores = gpt2(state, TOKENS[:1])[0, -1] / 2
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    found = np.bincount(got[:, 7], minlength=23) / 800
    assert abs(found - shares).max() < 5 * math.sqrt(0.25 / 800)
    few = draw(top_k=2).numpy()
    assert {*few[:, 7]} == {*np.argsort(scores)[-2:]}
    np.testing.assert_array_equal(
        draw(top_k=1).numpy()[0], likeliest(state, TOKENS[:1], 2)[0]
    )
    plait.manual_seed(1)
    one = net.generate(tokens, 1, do_sample=True).numpy()
    plait.manual_seed(1)
    np.testing.assert_array_equal(net.generate(tokens, 1, do_sample=True).numpy(), one)


def test_behind_the_end_nothing_is_written():
    net, state = filled(models.GPT2(**SIZES))
    usual = likeliest(state, TOKENS, 5)
    for row, tokens in zip(usual, TOKENS, strict=True):
        end = int(row[8])
        got = net.generate(plait.asarray(tokens[None]), 5, eos_token_id=end).numpy()[0]
        first = 7 + list(row[7:]).index(end)
        np.testing.assert_array_equal(got, [*row[: first + 1], *[end] * (11 - first)])


def test_the_loop_is_one_program(monkeypatch, capfd):
    net, _ = filled(models.GPT2(**{**SIZES, "n_layer": 1}))
    expected = net.generate(plait.asarray(TOKENS), 5).numpy()
    plait.flush()
    monkeypatch.setattr(settings, "execution", "compile")
    monkeypatch.setattr(settings, "show", "compile")
    compiled = []
    for row, tokens in zip(expected, TOKENS, strict=True):
        got = net.generate(plait.asarray(tokens[None].copy()), 5).numpy()[0]
        np.testing.assert_array_equal(got, row)
        compiled.append("".join(capfd.readouterr()).count("compiled"))
    assert compiled == [1, 0, 0]


# --- training


def test_steps_of_training(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")
    plait.manual_seed(0)
    kept = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    bare = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    for net in (
        models.GPT2(**{**SIZES, "n_layer": 1}, **kept),
        models.BERTForMaskedLM(**{**BERT_SIZES, "num_hidden_layers": 1}, **bare),
    ):
        step = TrainStep(
            net,
            lambda scores, target: plait.cross_entropy(
                scores.reshape((-1, 23)), target.reshape((-1,))
            ),
            optim.Adam(net.parameters(), lr=0.02),
        )
        x, y = plait.asarray(TOKENS), plait.asarray(TOKENS[:, ::-1].copy())
        losses = [float(step(x, y)) for _ in range(25)]
        assert losses[0] == pytest.approx(math.log(23), abs=0.1)
        assert losses[-1] < 0.6 * losses[0]
        first, *rest = net.tied
        state = net.state_dict()
        for one, other in (first, *rest):
            np.testing.assert_array_equal(state[one].numpy(), state[other].numpy())


def test_dropout_is_of_training_only():
    for net in (models.GPT2(**SIZES), models.BERT(**BERT_SIZES)):

        def result(net=net):
            found = net(plait.asarray(TOKENS))
            return (found if isinstance(net, models.GPT2) else found[0]).numpy()

        assert (result() != result()).any()
        net.eval()
        np.testing.assert_array_equal(result(), result())


# --- folders


def write(folder, net, config, rename=str, parts=1):
    """Write a folder as Hugging Face's, in which tied weights are kept but once."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    twice = {pair[0] for pair in getattr(net, "tied", ())[:2]}
    state = {
        rename(name): x for name, x in net.state_dict().items() if name not in twice
    }
    if parts == 1:
        nn.save_weights(state, folder / "model.safetensors")
        return folder
    where = {name: f"model-{i % parts}.safetensors" for i, name in enumerate(state)}
    for file in set(where.values()):
        part = {name: x for name, x in state.items() if where[name] == file}
        nn.save_weights(part, folder / file)
    index = json.dumps({"weight_map": where})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return folder


def assert_same(net, again):
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), tensor.numpy())


@pytest.mark.parametrize("parts", [1, 3])
def test_folders_of_gpt2(tmp_path, parts):
    net, _ = filled(models.GPT2(**SIZES))
    folder = write(
        tmp_path / "a", net, {"model_type": "gpt2", **SIZES},
        lambda name: name.removeprefix("transformer."), parts,
    )  # fmt: skip
    again = models.gpt2(weights=folder)
    assert_same(net, again)
    assert again.lm_head.weight is again.transformer.wte.weight
    assert (
        models.gpt2(str(folder), attn_pdrop=0.5).transformer.h[0].attn.attn_pdrop == 0.5
    )


def test_files_of_gpt2(tmp_path):
    net, _ = filled(models.GPT2(**SIZES))
    state = {
        **net.state_dict(),
        "transformer.h.0.attn.bias": plait.ones((1, 1, 12, 12)),
    }
    state |= {"transformer.h.1.attn.masked_bias": plait.zeros(())}
    nn.save_weights(state, tmp_path / "a.safetensors")
    assert_same(net, models.gpt2_xl(tmp_path / "a.safetensors", **SIZES))


def test_folders_of_bert(tmp_path):
    net, _ = filled(models.BERT(**BERT_SIZES))
    config = {"model_type": "bert", "hidden_act": "gelu", **BERT_SIZES}
    assert_same(net, models.bert_large_uncased(write(tmp_path / "a", net, config)))

    whole, _ = filled(models.BERTForMaskedLM(**BERT_SIZES))

    def old(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return name.replace("LayerNorm.bias", "LayerNorm.beta")

    folder = write(tmp_path / "b", whole, config, old)
    assert_same(whole, models.bert_base_uncased_masked_lm(folder))
    encoder = models.bert_base_uncased(folder, add_pooling_layer=False)
    assert_same(whole.bert, encoder)


def message(call, kind=ArgumentError):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


def test_wrong_folders(tmp_path):
    text = message(partial(models.gpt2, tmp_path), FileFormatError)
    assert "is not one of a language model. Got: no config.json" in text
    config = tmp_path / "config.json"
    config.write_text("{", encoding="utf-8")
    assert "is damaged" in message(partial(models.gpt2, tmp_path), FileFormatError)
    config.write_text("[]", encoding="utf-8")
    text = message(partial(models.gpt2, tmp_path), FileFormatError)
    assert "Got: list. Expected: an object" in text
    config.write_text("{}", encoding="utf-8")
    text = message(partial(models.gpt2, tmp_path), FileFormatError)
    assert "Got: no model.safetensors.index.json" in text
    index = json.dumps({"weight_map": {"a": "../a.safetensors"}})
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    text = message(partial(models.gpt2, tmp_path), FileFormatError)
    assert "a file lies outside the folder. Got: '../a.safetensors'" in text


def test_wrong_arguments(tmp_path):
    net = models.GPT2(**SIZES)
    tokens = plait.asarray(TOKENS)
    folder = write(tmp_path / "a", net, {"activation_function": "relu"})
    assert message(partial(models.gpt2, folder)) == (
        "[gpt2] config.json asks for what this model does not have. Got: "
        "activation_function = 'relu'. Expected: 'gelu_new'."
    )
    assert message(partial(models.gpt2, "package")) == (
        "[gpt2] no package is known that has trained weights of this model. Got: "
        "weights='package'. Expected: a folder or a file."
    )
    assert message(partial(models.GPT2, n_embd=10, n_head=3)) == (
        "[GPT2] the heads cannot share the features evenly. Got: n_embd=10, n_head=3."
    )
    assert message(partial(models.BERT, hidden_size=10, num_attention_heads=3)) == (
        "[BERT] the heads cannot share the features evenly. Got: hidden_size=10, "
        "num_attention_heads=3."
    )
    assert message(
        partial(net, plait.zeros((1, 13), dtype=plait.int64)), ShapeError
    ) == (
        "[GPT2] the tokens do not fit. Got: shape (1, 13). Expected: (n, length), with "
        "length at most 12."
    )
    text = message(partial(models.BERT(**BERT_SIZES), tokens[0]), ShapeError)
    assert text == (
        "[BERT] the tokens do not fit. Got: shape (7,). Expected: (n, length), with "
        "length at most 9."
    )
    assert message(partial(net.generate, tokens, 6), ShapeError) == (
        "[generate] the texts become too long. Got: 7 and 6 more tokens. Expected: at "
        "most 12."
    )
    assert message(partial(net.generate, tokens[:, :0], 6), ShapeError) == (
        "[generate] there must be a token to begin with. Got: shape (3, 0). Expected: "
        "(n, length)."
    )
    assert message(partial(net.generate, tokens, 1, temperature=0.0)) == (
        "[generate] a setting is out of range. Got: max_new_tokens=1, temperature=0.0, "
        "top_k=None. Expected: at least 1; above 0; 1 to 23."
    )


# --- beside transformers

found = references.libraries()


def theirs():
    if found is None:
        pytest.skip("torchvision is not installed")
    return pytest.importorskip("transformers")


def compare(own, net, call):
    """Assert that both nets, with the same weights, give the same."""
    state = net.state_dict()
    values = weights.weights({name: x.shape for name, x in state.items()}, 0.9)
    for one, other in getattr(own, "tied", ()):
        values[one] = values[other]
    torch = found[0]
    net.load_state_dict({name: torch.from_numpy(x) for name, x in values.items()})
    assert list(state) == list(own.state_dict())
    own.load_state_dict(values)
    with torch.no_grad():
        expected = call(net.eval(), torch.from_numpy).numpy()
    got = call(own.eval(), plait.asarray).numpy()
    assert abs(got - expected).max() < 1e-4 * abs(expected).max()


def test_gpt2_beside_transformers():
    library = theirs()
    ends = {"bos_token_id": 1, "eos_token_id": 1}
    net = library.GPT2LMHeadModel(library.GPT2Config(**SIZES, **ends))

    def call(net, tensor):
        found = net(tensor(TOKENS))
        return getattr(found, "logits", found)

    own = models.GPT2(**SIZES)
    compare(own, net, call)
    tokens = found[0].from_numpy(TOKENS)
    ones = found[0].ones_like(tokens)
    expected = net.generate(
        tokens, attention_mask=ones, max_new_tokens=5, do_sample=False, pad_token_id=0,
        eos_token_id=None,
    )  # fmt: skip
    got = own.generate(plait.asarray(TOKENS), 5).numpy()
    np.testing.assert_array_equal(got, expected.numpy())


@pytest.mark.parametrize("part", ["last_hidden_state", "pooler_output"])
def test_bert_beside_transformers(part):
    library = theirs()
    net = library.BertModel(library.BertConfig(**BERT_SIZES))

    def call(net, tensor):
        kinds = tensor(TOKENS % 2)
        return getattr(net(tensor(TOKENS), tensor(THERE), kinds), part)

    compare(models.BERT(**BERT_SIZES), net, call)


def test_masked_bert_beside_transformers():
    library = theirs()
    net = library.BertForMaskedLM(library.BertConfig(**BERT_SIZES))

    def call(net, tensor):
        found = net(tensor(TOKENS), tensor(THERE))
        return getattr(found, "logits", found)

    compare(models.BERTForMaskedLM(**BERT_SIZES), net, call)


def test_a_folder_that_transformers_wrote(tmp_path):
    library = theirs()
    ends = {"bos_token_id": 1, "eos_token_id": 1}
    net = library.GPT2LMHeadModel(library.GPT2Config(**SIZES, **ends)).eval()
    net.save_pretrained(tmp_path / "gpt2")
    own = models.gpt2(tmp_path / "gpt2").eval()
    with found[0].no_grad():
        expected = net(found[0].from_numpy(TOKENS)).logits.numpy()
    np.testing.assert_allclose(
        own(plait.asarray(TOKENS)).numpy(), expected, rtol=1e-4, atol=1e-5
    )
