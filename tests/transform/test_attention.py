"""Attention against PyTorch and its formula, whole and in blocks."""

import functools

import numpy as np
import pytest
import scipy.special

import plait
from plait import errors
from plait.dtypes import float32, int64
from plait.ir.build import make_input
from plait.transform import attention

from ..ops.op_checks import check_derivatives, value
from ..ops.torch_compare import F, agree

inf = np.inf
rng = np.random.default_rng(0)
QUERY = rng.normal(size=(2, 3, 5, 4))
KEYS = rng.normal(size=(2, 3, 6, 4))
VALUES = rng.normal(size=(2, 3, 6, 7))
attend = attention.scaled_dot_product_attention


SMALL_PARTS = {"_LEAST_PART": 2}
SMALL_BLOCKS = {"_MOST_SCORES": 0, "_BLOCK_SCORES": 0, "_LEAST_QUERIES": 2}
FORMS = {
    "whole": {},
    "parts": SMALL_PARTS,
    "blocks": SMALL_BLOCKS,
    "both": {**SMALL_PARTS, **SMALL_BLOCKS, "_CAUSAL_PARTS": 2},
}


def set_sizes(monkeypatch, form):
    """Have even small sizes computed in parts, or in blocks of two queries."""
    for name, size in FORMS[form].items():
        monkeypatch.setattr(attention, name, size)


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    set_sizes(monkeypatch, request.param)


def test_attention(form):
    theirs = F.scaled_dot_product_attention
    agree(attend, theirs, QUERY, KEYS, VALUES)
    agree(attend, theirs, QUERY, KEYS, VALUES, is_causal=True, scale=0.3)
    allowed = rng.random((5, 6)) > 0.5
    allowed[2] = False  # a query without keys
    agree(attend, theirs, QUERY, KEYS, VALUES, allowed)
    agree(attend, theirs, QUERY, KEYS, VALUES, allowed[1:2])
    agree(attend, theirs, QUERY, KEYS, VALUES, np.where(allowed, 0.0, -inf), fixed=[3])
    agree(attend, theirs, QUERY, KEYS, VALUES, rng.normal(size=(3, 5, 6)))
    agree(attend, theirs, QUERY[0, 0], KEYS[0, 0], VALUES[0, 0])
    query = rng.normal(size=(2, 6, 5, 4))
    mask = rng.random((2, 6, 5, 6)) > 0.3
    for given in (mask, mask[:, :1], mask[0, 0]):
        agree(attend, theirs, query, KEYS, VALUES, given, enable_gqa=True)


def test_attention_by_its_formula():
    q, k, v = QUERY[0, 0], KEYS[0, 0], VALUES[0, 0]
    weights = scipy.special.softmax(q @ k.T / 2, -1)
    np.testing.assert_allclose(value(attend, q, k, v), weights @ v)
    np.testing.assert_allclose(value(attention.attention_weights, q, k), weights)
    causal = scipy.special.softmax(
        np.where(np.tri(5, 6, dtype=bool), q @ k.T / 2, -inf), -1
    )
    found = value(attend, q, k, v, is_causal=True)
    np.testing.assert_allclose(found, causal @ v)
    found = value(attention.attention_weights, q, k, is_causal=True)
    np.testing.assert_allclose(found, causal)
    half = [x.astype(np.float16) for x in (q, k, v)]
    wide = [x.astype(np.float32) for x in half]
    found = value(attend, *half)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, value(attend, *wide).astype(np.float16))


@pytest.mark.parametrize("is_causal", [False, True])
def test_derivatives(form, is_causal):
    op = functools.partial(attend, is_causal=is_causal)
    check_derivatives(op, [QUERY[0, 0], KEYS[0, 0], VALUES[0, 0]])


def loss(form, q, k, v):
    return (form(q, k, v) ** 2).sum()


def value_and_gradients(form, *tensors):
    found = plait.value_and_grad(functools.partial(loss, form), (0, 1, 2))(*tensors)
    return [found[0], *found[1]]


def second_derivatives(form, *tensors):
    first = plait.grad(functools.partial(loss, form), (0, 1, 2))
    return plait.jvp(first, tensors, [plait.ones_like(x) for x in tensors])[1]


def vectorised(form, *tensors):
    return plait.vmap(plait.grad(functools.partial(loss, form), (0, 1, 2)))(*tensors)


@pytest.mark.parametrize(
    ("transform", "execution"),
    [
        (value_and_gradients, "compile"),
        (second_derivatives, "interpret"),
        (vectorised, "interpret"),
    ],
)
def test_parts_and_blocks_change_nothing(monkeypatch, transform, execution):
    monkeypatch.setattr(plait.settings, "execution", execution)
    form = functools.partial(plait.scaled_dot_product_attention, is_causal=True)
    arrays = [rng.normal(size=(2, 9, 4)), *rng.normal(size=(2, 2, 7, 4))]
    tensors = [plait.tensor(x) for x in arrays]
    expected = [x.numpy() for x in transform(form, *tensors)]
    set_sizes(monkeypatch, "both")
    # Another scale, so that another program is recorded.
    form = functools.partial(form, scale=0.5 * (1 + 1e-15))
    for found, other in zip(transform(form, *tensors), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), other, rtol=1e-10, atol=1e-12)


def test_memory_grows_with_the_length_not_its_square():
    def loss(q, k, v):
        return plait.scaled_dot_product_attention(q, k, v, is_causal=True).sum()

    peaks = []
    for length in (4096, 8192):
        x = plait.zeros(1, 4, length, 32)
        plan = plait.plan(plait.value_and_grad(loss, argnums=(0, 1, 2)), x, x, x)
        peaks.append(plan.peak)
    assert peaks[1] < 2.2 * peaks[0]
    assert peaks[1] < 4 * 8192 * 8192 * 4 / 8  # the scores alone would be 1 GiB


def test_dropout_leaves_out_weights(monkeypatch):
    set_sizes(monkeypatch, "blocks")
    q = plait.zeros(1, 6, 4)
    v = plait.tensor(np.eye(50)[None])
    k = plait.zeros(1, 50, 4)
    key = plait.random.key(1)

    def weights(key):
        return plait.scaled_dot_product_attention(
            q, k, v, dropout_p=0.5, dropout_key=key
        ).numpy()

    found = weights(key)
    np.testing.assert_allclose(np.unique(found), [0, 0.04], rtol=1e-6)
    assert 0.35 < (found == 0).mean() < 0.65
    assert (found[0, 0] != found[0, 2]).any()  # blocks draw their own
    np.testing.assert_array_equal(found, weights(key))


def node(*shape, dtype=float32):
    return make_input(shape, dtype)


OP = "[scaled_dot_product_attention]"


@pytest.mark.parametrize(
    ("arguments", "named", "kind", "message"),
    [
        (
            (node(4), node(6, 4), node(6, 4)), {}, errors.ShapeError,
            f"{OP} the query needs at least two axes. Got: (4,).",
        ),
        (
            (node(5, 4), node(6, 3), node(6, 4)), {}, errors.ShapeError,
            f"{OP} the sizes do not fit. "
            "Got: query (5, 4), key (6, 3), value (6, 4). "
            "Expected: query (..., l, e), key (..., s, e), value (..., s, v).",
        ),
        (
            (node(1, 4), node(6, 4), node(6, 4), node(5, 6)), {}, errors.ShapeError,
            f"{OP} the mask does not fit the queries and keys. Got: (5, 6). "
            "Expected: (..., 1, 6), or 1 in place of either.",
        ),
        (
            (node(5, 4), node(6, 4), node(6, 4), node(5, 6, dtype=int64)), {},
            errors.DTypeError,
            f"{OP} the mask is neither bool nor floating-point. Got: int64.",
        ),
        (
            (node(5, 4), node(6, 4), node(6, 4)), {"dropout_p": 0.1},
            errors.ArgumentError,
            f"{OP} weights are left out at random, and there is no key. "
            "Got: dropout_p=0.1. Fix: pass dropout_key=plait.random.bits(shape=4).",
        ),
        (
            (node(4, 5, 4), node(3, 6, 4), node(3, 6, 4)), {"enable_gqa": True},
            errors.ShapeError,
            f"{OP} the heads of the query cannot be shared out evenly. "
            "Got: query (4, 5, 4), key (3, 6, 4), value (3, 6, 4). "
            "Expected: a multiple of the heads, axis -3, of both key and value.",
        ),
    ],
)  # fmt: skip
def test_errors(arguments, named, kind, message):
    with pytest.raises(kind) as info:
        attend(*arguments, **named)
    assert str(info.value).split("\n")[0] == message
