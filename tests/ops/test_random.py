"""Random numbers: known answers, pinned values, distributions, and errors."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from plait import dtypes, errors
from plait.dtypes import float16, float32, float64, int8, int64, uint8, uint64
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import counts, distribution, random, source
from plait.ops.philox import KEY_OPS, fold_in, key_of, later_stream, philox
from plait.transform.batch import batch

from .op_checks import check_derivatives, close, gradient, inputs_for, recorded, value

KEY = key_of(2024, 7)
DRAWS = (*random.RANDOM_OPS, *distribution.RANDOM_OPS, *counts.RANDOM_OPS)
OPS = {op.__name__: op for op in (*DRAWS, *KEY_OPS)}


def draw(name, **settings):
    return value(OPS[name], KEY, **settings)


def fixed(name, **settings):
    """Return the distribution as a function of its parameters alone."""

    def op(*parameters):
        key = source.constant(KEY, dtypes.uint32)
        return OPS[name](key, *parameters, **settings)

    return op


# --- the words


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (
            "00000000 00000000 00000000 00000000",
            "00000000 00000000",
            "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter, key, expected):
    """The vectors that Salmon et al. publish with their implementation."""
    c, k = words(counter), words(key)
    found = philox(np.array([*k, *c[2:]], np.uint32), (4,), c[0] | c[1] << 32)
    assert found.tolist() == words(expected)


def philox_by_the_paper(counter, key):
    """One block, in Python's integers."""
    mask = 0xFFFFFFFF
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k, q & mask, (p >> 32) ^ d ^ m, p & mask
        k, m = (k + 0x9E3779B9) & mask, (m + 0xBB67AE85) & mask
    return [a, b, c, d]


def test_words_are_counted_through_blocks_and_keys():
    keys = np.random.default_rng(0).integers(0, 2**32, (2, 3, 4), dtype=np.uint32)
    start = (1 << 32) - 2  # the low word of the counter overflows on the way
    found = philox(keys, (3, 5), start)
    assert found.shape == (2, 3, 3, 5)
    for i, j in np.ndindex(2, 3):
        k = keys[i, j].tolist()
        flat = [
            word
            for block in range(start, start + 4)
            for word in philox_by_the_paper(
                [block & 0xFFFFFFFF, block >> 32, *k[2:]], k[:2]
            )
        ]
        assert found[i, j].ravel().tolist() == flat[:15]


def test_long_results_are_continued():
    many = philox(KEY, (70000,))
    np.testing.assert_array_equal(many[:5], philox(KEY, (5,)))
    np.testing.assert_array_equal(many[40000:], philox(KEY, (30000,), 10000))
    keys = np.stack([KEY, key_of(1, 2)])
    both = philox(keys, (36000,))
    np.testing.assert_array_equal(both[0], many[:36000])
    np.testing.assert_array_equal(both[1], philox(keys[1], (36000,)))


def test_bits_are_balanced():
    found = draw("bits", shape=100000)
    ones = np.unpackbits(found.view(np.uint8)).reshape(-1, 32).mean(0)
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / math.sqrt(found.size)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 5 / math.sqrt(found.size)


# --- keys


def test_key_of():
    assert key_of(0).tolist() == [0, 0, 0, 0]
    assert key_of((5 << 32) + 6, (7 << 32) + 8).tolist() == [6, 5, 8, 7]
    assert key_of(np.int64(3), np.uint64(4)).tolist() == [3, 0, 4, 0]
    assert key_of(2**64 - 1).dtype == np.uint32


@pytest.mark.parametrize(
    ("seed", "stream", "error", "message"),
    [
        (
            -1, 0, errors.ArgumentError,
            "the seed is out of range. Got: -1. Expected: 0 to 2**64 - 1.",
        ),
        (
            0, 1 << 64, errors.ArgumentError,
            f"the stream is out of range. Got: {1 << 64}. Expected: 0 to 2**64 - 1.",
        ),
        (1.5, 0, errors.ArgumentTypeError, "the seed must be an integer. Got: 1.5."),
    ],
)  # fmt: skip
def test_bad_seeds(seed, stream, error, message):
    with pytest.raises(error) as caught:
        key_of(seed, stream)
    assert caught.value.message == message


def test_new_keys_differ():
    split = draw("split", num=1000)
    assert split.shape == (1000, 4)
    np.testing.assert_array_equal(split[:3], draw("split", num=3))
    folded = [draw("fold_in", data=i) for i in (*range(100), -1, -2, 2**40, 2**63 - 1)]
    everything = [*split.tolist(), *(k.tolist() for k in folded), KEY.tolist()]
    everything += draw("bits", shape=(1000, 4)).tolist()
    assert len({tuple(k) for k in everything}) == len(everything)
    assert draw("split", num=0).shape == (0, 4)


def test_fold_in_takes_any_integer():
    expected = draw("fold_in", data=300).tolist()
    assert value(fold_in, KEY, np.array(300, np.int16)).tolist() == expected
    assert value(fold_in, KEY, np.array(300, np.uint64)).tolist() == expected


@pytest.mark.parametrize(
    ("stream", "streams"),
    [(0, 0), (0, 1), (5, 3), (2**32 - 1, 1), (2**33 - 2, 5), (2**64 - 3, 2)],
)
def test_later_stream(stream, streams):
    found = value(later_stream, key_of(9, stream), streams=streams)
    assert found.tolist() == key_of(9, stream + streams).tolist()


# --- pinned


def test_pinned_values():
    """These may never change: results of users hang on them."""
    assert [hex(w) for w in draw("bits", shape=5)] == [
        "0x47908b1c", "0x58bad16e", "0xee42c2f7", "0xab2cc3cf", "0x190d5b04"
    ]  # fmt: skip
    assert draw("permutation", n=10).tolist() == [3, 8, 2, 0, 6, 4, 5, 1, 7, 9]
    assert draw("bernoulli", p=0.3, shape=12).tolist() == [
        bool(b) for b in (1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0)
    ]
    assert draw("randint", low=-5, high=100, shape=8).tolist() == [
        31, 65, 28, 12, 52, 63, 51, 81
    ]  # fmt: skip
    assert draw("split").tolist() == [
        [2316670649, 1496045811, 3857724928, 1941250944],
        [3803117487, 180014955, 1829276707, 2977777833],
    ]
    assert draw("fold_in", data=3).tolist() == [
        3380828838, 3576527199, 1830986373, 4036048603
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("uniform", "float16", "0x1.1e0p-2 0x1.628p-2 0x1.dc8p-1 0x1.564p-1"),
        ("uniform", "bfloat16", "0x1.1cp-2 0x1.60p-2 0x1.dcp-1 0x1.56p-1"),
        (
            "uniform", "float32",
            "0x1.1e422cp-2 0x1.62eb44p-2 0x1.dc8584p-1 0x1.565986p-1",
        ),
        (
            "uniform", "float64",
            "0x1.62eb45b91e422p-2 0x1.5659879fdc858p-1 0x1.42f8eda064356p-2 "
            "0x1.58a610d5d1284p-3",
        ),
        ("normal", "float16", "-0x1.2b0p-1 -0x1.940p-2 0x1.7b4p+0 0x1.becp-2"),
        ("normal", "bfloat16", "-0x1.2cp-1 -0x1.94p-2 0x1.7cp+0 0x1.bep-2"),
        (
            "normal", "float32",
            "-0x1.2b19c2p-1 -0x1.93fb9ap-2 0x1.7b2776p+0 0x1.bea97cp-2",
        ),
        (
            "normal", "float64",
            "-0x1.93fb9adf8e7f5p-2 0x1.bea97e889c181p-2 -0x1.ec20b5305beeep-2 "
            "-0x1.ec03490c3a33cp-1",
        ),
    ],
)  # fmt: skip
def test_pinned_floats(name, dtype, expected):
    found = draw(name, shape=4, dtype=dtypes.as_dtype(dtype))
    assert [float(x) for x in found] == [float.fromhex(x) for x in expected.split()]


def test_pinned_tails():
    found = draw("normal", shape=4000)
    (places,) = np.nonzero(np.abs(found) > 2.6)
    assert places[:4].tolist() == [19, 37, 40, 273]
    expected = ("0x1.4e79cep+1", "0x1.db7bep+1", "0x1.b397fp+1", "0x1.4d264ep+1")
    assert found[places[:4]].tolist() == [float.fromhex(x) for x in expected]


EXACT = {
    "input", "constant", "random_bits", "cast", "bitcast", "add", "subtract",
    "multiply", "divide", "negative", "abs", "copysign", "sqrt", "select", "less",
    "less_equal", "equal", "not_equal", "bitwise_and", "bitwise_or", "bitwise_xor",
    "bitwise_invert", "bitwise_left_shift", "bitwise_right_shift", "reshape", "expand",
    "slice", "sort", "pick",
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float16, float32, float64])
def test_what_is_pinned_uses_exactly_rounded_operations(dtype):
    (key,) = inputs_for([KEY])
    nodes = [
        random.uniform(key, 1, 3, shape=5, dtype=dtype),
        random.normal(key, 1, 3, shape=5, dtype=dtype),
        random.bernoulli(key, 0.3, shape=5),
        random.randint(key, 0, 1 << 40, shape=5),
        random.permutation(key, 5),
    ]
    used = {node.primitive.name for node in Graph([key], nodes).nodes()}
    assert used <= EXACT


# --- uniform and normal


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_is_the_quantile_of_the_middle_of_a_part(dtype):
    n = 20000
    raw = draw("bits", shape=2 * n).astype(np.uint64)
    if dtype == np.float32:
        part, digits = raw >> np.uint64(8), 24
    else:
        part, digits = (raw[1::2] << np.uint64(32) | raw[::2]) >> np.uint64(11), 53
    # Exactly: the numerator has at most 54 bits, so it is halved at the median.
    middle = part.astype(float) * 2.0**-digits + 2.0 ** -(digits + 1)
    expected = scipy.special.ndtri(np.where(middle < 0.5, middle, 1 - middle))
    expected = np.where(middle < 0.5, expected, -expected)
    found = draw("normal", shape=part.size, dtype=dtypes.as_dtype(dtype))
    tolerance = 2e-6 if dtype == np.float32 else 5e-13
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_the_extreme_parts():
    """What `normal` gives for the first and last part, and next to the median."""
    for dtype, digits in ((float32, 24), (float64, 53)):
        ends = np.array(
            [1, 2**digits - 1, 2**digits + 1, 2 ** (digits + 1) - 1], object
        )
        odd = [int(x) - 2**digits for x in ends]
        q = np.array([x * 0.5 ** (digits + 1) for x in odd], dtype.numpy)
        tail = np.array(
            [(2**digits - abs(x)) * 0.5 ** (digits + 1) for x in odd], dtype.numpy
        )
        quantile = functools.partial(random._quantile, least=0.5 ** (digits + 1))
        z = value(quantile, q, tail)
        right = np.sign(odd) * -scipy.special.ndtri(tail.astype(float))
        np.testing.assert_allclose(z[[0, 3]], right[[0, 3]], rtol=1e-6)
        np.testing.assert_allclose(
            z[1:3].astype(float),
            q[1:3].astype(float) * math.sqrt(2 * math.pi),
            rtol=1e-6,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exact_logarithm(dtype):
    smallest = np.finfo(dtype).tiny
    x = np.concatenate(
        [
            np.geomspace(smallest, 0.5, 20000),
            1 - np.geomspace(1e-7, 0.5, 1000),
            1 + np.geomspace(1e-7, 3, 1000),
            [1.0, 2.0, smallest],
        ]
    ).astype(dtype)
    found = value(random._exact_log, x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        found, np.log(x.astype(np.longdouble)).astype(float), rtol=4 * eps
    )


def looks_like(sample, distribution, alpha=1e-4):
    """Raise unless Kolmogorov and Smirnov's test accepts the sample."""
    result = scipy.stats.kstest(np.ravel(sample).astype(float), distribution.cdf)
    assert result.pvalue > alpha, result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("name", "parameters", "distribution"),
    [
        ("uniform", (), scipy.stats.uniform()),
        ("uniform", (-2.0, 5.0), scipy.stats.uniform(-2, 7)),
        ("normal", (), scipy.stats.norm()),
        ("normal", (3.0, 0.5), scipy.stats.norm(3, 0.5)),
        ("truncated_normal", (), scipy.stats.truncnorm(-2, 2)),
        (
            "truncated_normal",
            (1.0, 2.0, -1.0, 2.0),
            scipy.stats.truncnorm(-1, 0.5, 1, 2),
        ),
        ("truncated_normal", (0.0, 1.0, 4.0, 6.0), scipy.stats.truncnorm(4, 6)),
        ("truncated_normal", (0.0, 1.0, -7.0, -5.0), scipy.stats.truncnorm(-7, -5)),
        (
            "truncated_normal",
            (0.0, 1.0, 4.0, math.inf),
            scipy.stats.truncnorm(4, math.inf),
        ),
        ("exponential", (), scipy.stats.expon()),
        ("exponential", (4.0,), scipy.stats.expon(scale=0.25)),
        ("gamma", (0.3,), scipy.stats.gamma(0.3)),
        ("gamma", (1.0, 2.0), scipy.stats.gamma(1, scale=0.5)),
        ("gamma", (2.5,), scipy.stats.gamma(2.5)),
        ("gamma", (1e6,), scipy.stats.gamma(1e6)),
        ("beta", (0.5, 2.0), scipy.stats.beta(0.5, 2)),
        ("beta", (30.0, 20.0), scipy.stats.beta(30, 20)),
    ],
)
def test_distribution(name, parameters, distribution, seed, dtype):
    settings = {"shape": (100, 100), "dtype": dtypes.as_dtype(dtype)}
    op = OPS[name]
    found = value(lambda key: op(key, *parameters, **settings), key_of(seed))
    assert found.dtype == dtype
    looks_like(found, distribution)


@pytest.mark.parametrize("dtype", [float32, float64])
def test_moments(dtype):
    n = 400000
    u = draw("uniform", shape=n, dtype=dtype).astype(float)
    z = draw("normal", shape=n, dtype=dtype).astype(float)
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / n)
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_small_uniform_numbers_stay_below_one(dtype, digits):
    found = draw("uniform", shape=50000, dtype=dtypes.as_dtype(dtype)).astype(float)
    steps = found * 2**digits
    assert steps.min() == 0
    assert steps.max() == 2**digits - 1
    assert (steps == np.rint(steps)).all()
    same = value(
        random.uniform, KEY, np.array(0), np.array(1), shape=50000, dtype=dtype
    )
    np.testing.assert_array_equal(same.astype(float), found)


def test_far_truncation_stays_in_bounds():
    for low, high in ((50.0, 51.0), (-51.0, -50.0)):
        found = value(
            lambda key, a=low, b=high: random.truncated_normal(
                key, 0, 1, a, b, shape=100
            ),
            KEY,
        )
        assert (found >= low).all()
        assert (found <= high).all()


def test_parameters_broadcast_and_promote():
    mean, std = np.zeros((3, 1), np.float32), np.ones(4)
    found = value(random.normal, KEY, mean, std)
    assert (found.shape, found.dtype) == ((3, 4), np.float64)
    found = value(random.normal, KEY, mean, shape=(2, 3, 5))
    assert (found.shape, found.dtype) == ((2, 3, 5), np.float32)
    assert draw("normal", shape=()).dtype == np.float32
    found = value(random.uniform, KEY, np.array([0, 10]), np.array([1, 20]))
    assert found.dtype == np.float32
    assert 10 <= found[1] <= 20


def test_gradients_of_parameters():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, (3, 1)), rng.uniform(3, 4, 4)
    check_derivatives(fixed("uniform"), [a, b])
    check_derivatives(fixed("normal"), [a, b])
    check_derivatives(fixed("exponential"), [b])
    check_derivatives(
        fixed("truncated_normal"), [a, b, a - 2, a + 1], tolerance=1e-5, second=False
    )
    gamma = fixed("gamma")
    check_derivatives(lambda rate: gamma(2.5, rate), [b])
    graph = recorded(gamma, [a, b])
    slopes = interpret(gradient(graph), [a, b, np.ones((3, 4))])
    assert (slopes[0] == 0).all()
    assert (slopes[1] < 0).all()


# --- discrete


@pytest.mark.parametrize("p", [0.0, 0.001, 0.3, 1.0])
def test_bernoulli(p):
    n = 200000
    found = draw("bernoulli", p=p, shape=n)
    assert found.dtype == bool
    assert abs(found.mean() - p) <= 4 * math.sqrt(p * (1 - p) / n)
    each = np.array([0.0, 0.25, 1.0, np.nan, 7.0])
    found = value(random.bernoulli, KEY, each, shape=(1000, 5), dtype=float32)
    assert found.dtype == np.float32
    assert found[:, 0].max() == 0
    assert found[:, 2].min() == 1
    assert found[:, 3].max() == 0
    assert found[:, 4].min() == 1


def chi_squared(counts, expected, alpha=1e-4):
    """Raise unless counts agree with expected ones; those below 5 are put together."""
    big = expected >= 5
    counts = np.append(counts[big], counts[~big].sum())
    expected = np.append(expected[big], expected[~big].sum())
    kept = expected > 0
    assert counts[~kept].sum() == 0
    statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert scipy.stats.chi2.sf(statistic, max(kept.sum() - 1, 1)) > alpha


@pytest.mark.parametrize("rate", [0.0, 0.01, 1.0, 3.7, 9.99, 10.0, 13.0, 47.0, 300.0])
def test_poisson(rate):
    n = 20000
    found = value(lambda key: counts.poisson(key, rate, shape=n), KEY)
    assert found.dtype == np.int64
    top = found.max() + 1
    expected = scipy.stats.poisson(rate).pmf(np.arange(top)) * n
    expected = np.append(expected, max(n - expected.sum(), 0))
    chi_squared(np.bincount(found, minlength=top + 1), expected)


def test_poisson_of_large_and_of_impossible_rates():
    rates = np.array([1e9, 1e4, -1.0, np.nan, np.inf, 5.0])
    found = value(counts.poisson, KEY, rates, shape=(3000, 6))
    assert (found[:, 2:5] == -1).all()
    z = (found[:, 0] - 1e9) / math.sqrt(1e9)
    looks_like(z, scipy.stats.norm())
    assert abs(found[:, 1].mean() - 1e4) < 4 * math.sqrt(1e4 / 3000)
    assert abs(found[:, 5].mean() - 5) < 4 * math.sqrt(5 / 3000)
    assert value(counts.poisson, KEY, rates[5:], dtype=float32).dtype == np.float32


@pytest.mark.parametrize("concentration", [0.0, 1e-3, 0.7, 4.0, 100.0, 1e12])
def test_vonmises(concentration):
    n = 30000
    found = value(
        lambda key: distribution.vonmises(
            key, 3.0, concentration, shape=n, dtype=float64
        ),
        KEY,
    )
    assert np.abs(found).max() <= math.pi
    angle = (found - 3.0 + math.pi) % (2 * math.pi) - math.pi
    if concentration > 1e6:
        exact = scipy.stats.norm(0, concentration**-0.5)
    elif concentration:
        exact = scipy.stats.vonmises(concentration)
    else:
        exact = scipy.stats.uniform(-math.pi, 2 * math.pi)
    looks_like(angle, exact)


def test_angles_of_no_sound_concentration():
    concentration = np.array([-1.0, np.inf, np.nan, 1.0], np.float32)
    found = value(distribution.vonmises, KEY, np.float32(1), concentration)
    assert np.isnan(found).tolist() == [True, True, True, False]
    assert found.dtype == np.float32


def test_randint():
    found = draw("randint", low=-3, high=4, shape=70000)
    chi_squared(np.bincount(found + 3, minlength=7), np.full(7, 10000.0))
    assert draw("randint", low=-128, high=128, shape=9, dtype=int8).dtype == np.int8
    assert draw("randint", low=5, high=6, shape=3, dtype=uint8).tolist() == [5, 5, 5]
    everything = draw("randint", low=-(2**63), high=2**63, shape=100)
    raw = draw("bits", shape=(100, 2)).astype(np.uint64)
    whole = raw[:, 0] | raw[:, 1] << np.uint64(32)
    np.testing.assert_array_equal(everything.view(np.uint64), whole - np.uint64(2**63))
    found = draw("randint", low=0, high=2**64, shape=100, dtype=uint64)
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize(
    "count",
    [1, 2, 10, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63 + 1, 2**64 - 1, 2**64],
)
def test_scaling_a_word_is_exact(count):
    words = np.random.default_rng(0).integers(0, 2**64, 300, dtype=np.uint64)
    words[:2] = 0, 2**64 - 1
    found = value(lambda w: random._scaled_word(w, count), words)
    assert found.tolist() == [w * count >> 64 for w in words.tolist()]


def test_categorical():
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    with np.errstate(divide="ignore"):
        logits = np.log(p).astype(np.float32) + 5
    found = value(distribution.categorical, KEY, logits, shape=(20000,))
    assert found.dtype == np.int64
    chi_squared(np.bincount(found, minlength=5), p * 20000)
    rows = np.stack([logits, logits[::-1]])
    found = value(distribution.categorical, KEY, rows, shape=(20000, 2))
    chi_squared(np.bincount(found[:, 1], minlength=5), p[::-1] * 20000)
    assert value(distribution.categorical, KEY, rows).shape == (2,)
    assert value(distribution.categorical, KEY, rows, axis=0).shape == (5,)


def test_categories_that_are_rare_impossible_or_no_numbers():
    n = 200000
    rare = np.log(np.array([1e-4, 0.0, 1.0, 0.0])[::-1] + 1e-300)
    rare[[0, 2]] = -np.inf
    for logits in (rare, np.stack([rare, rare])):
        shape = (n // len(logits), *logits.shape[:-1]) if logits.ndim > 1 else (n,)
        found = value(distribution.categorical, KEY, logits, shape=shape)
        counts_of = np.bincount(found.ravel(), minlength=4)
        assert counts_of[[0, 2]].tolist() == [0, 0]
        assert abs(counts_of[3] - 20) < 30 * (n / found.size)
    odd = np.array([[1, np.nan, 2], [-np.inf] * 3, [0, np.inf, np.inf]], np.float32)
    assert value(distribution.categorical, KEY, odd).tolist() == [1, 0, 1]


def test_permutation_and_shuffle():
    found = draw("permutation", n=1000)
    np.testing.assert_array_equal(np.sort(found), np.arange(1000))
    assert draw("permutation", n=0).shape == (0,)
    keys = draw("split", num=6000)
    orders = [tuple(np.argsort(words)) for words in pairs_of(keys, 3)]
    counts = np.array([orders.count(o) for o in itertools.permutations(range(3))])
    chi_squared(counts, np.full(6, 1000.0))
    x = np.arange(24).reshape(4, 6)
    mixed = value(random.shuffle, KEY, x, axis=1)
    np.testing.assert_array_equal(mixed, x[:, draw("permutation", n=6)])
    np.testing.assert_array_equal(
        value(random.shuffle, KEY, x), x[draw("permutation", n=4)]
    )


def pairs_of(keys, n):
    """Return n words of 64 bits for each key: what `permutation` sorts."""
    raw = philox(keys, (n, 2)).astype(np.uint64)
    return raw[..., 0] | raw[..., 1] << np.uint64(32)


def test_dirichlet():
    concentration = np.array([0.5, 2.0, 3.0])
    found = value(distribution.dirichlet, KEY, concentration, shape=(5000,))
    assert found.shape == (5000, 3)
    np.testing.assert_allclose(found.sum(1), 1)
    looks_like(found[:, 0], scipy.stats.beta(0.5, 5))
    looks_like(found[:, 1], scipy.stats.beta(2, 3.5))
    tiny = value(distribution.dirichlet, KEY, np.full(3, 1e-4), shape=(100,))
    np.testing.assert_allclose(tiny.sum(1), 1)


def test_gamma_of_bad_shapes_is_nan():
    found = value(
        distribution.gamma, KEY, np.array([-1.0, 0.0, np.nan, 1e-3]), np.array(1.0)
    )
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])


# --- vectorised


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("uniform", {"shape": (2, 3)}),
        ("normal", {"shape": 5, "dtype": float64}),
        ("permutation", {"n": 7}),
        ("fold_in", {"data": 3}),
        ("split", {"num": 3}),
        ("gamma", {"concentration": 2.0, "shape": 3}),
    ],
)
def test_each_key_gives_its_own_numbers(name, settings):
    op = functools.partial(OPS[name], **settings)
    keys = draw("split", num=4)
    single, full = inputs_for([keys[0]])[0], inputs_for([keys])[0]
    ((result, batched),) = batch([op(single)], {single: full})
    assert batched
    (found,) = interpret(Graph([full], [result]), [keys])
    for row, key in zip(found, keys, strict=True):
        close(row, value(op, key), 0)


# --- errors


def test_the_ops_take_a_key_first():
    for op in OPS.values():
        assert next(iter(op.__annotations__.items())) == ("key", "Node")


def key_node(shape=(4,), dtype=dtypes.uint32):
    return make_input(shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: random.normal(key_node((2, 4))),
            errors.ShapeError,
            "[normal] one key is needed. Got: (2, 4). Expected: (4,). "
            "Fix: use plait.vmap to give each key its own numbers.",
        ),
        (
            lambda: random.bits(key_node((3,))),
            errors.ShapeError,
            "[bits] a key has four words. Got: (3,).",
        ),
        (
            lambda: random.uniform(key_node(dtype=int64)),
            errors.DTypeError,
            "[uniform] the words of a key are uint32. Got: int64. "
            "Fix: make keys with key_of, split or fold_in.",
        ),
        (
            lambda: random.normal(key_node(), dtype=int64),
            errors.DTypeError,
            "[normal] the result is floating-point. Got: int64.",
        ),
        (
            lambda: random.normal(key_node(), make_input((3,), float32), shape=(2,)),
            errors.ShapeError,
            None,
        ),
        (
            lambda: random.normal(key_node(), make_input((3,), float32), shape=(1,)),
            errors.ShapeError,
            "[normal] the parameters do not broadcast to the shape asked for. "
            "Got: (3,) to (1,).",
        ),
        (
            lambda: random.randint(key_node(), 3, 3),
            errors.ArgumentError,
            "[randint] there is no integer in the range. Got: low=3, high=3. "
            "Expected: low < high.",
        ),
        (
            lambda: random.randint(key_node(), 0, 300, dtype=uint8),
            errors.ArgumentError,
            "[randint] uint8 does not hold the range. Got: low=0, high=300. "
            "Expected: values in 0..255.",
        ),
        (
            lambda: random.randint(key_node(), 0.5, 3),
            errors.ArgumentTypeError,
            "[randint] low and high must be integers. Got: low=0.5, high=3.",
        ),
        (
            lambda: random.randint(key_node(), 0, 3, dtype=float32),
            errors.DTypeError,
            "[randint] the result is an integer. Got: float32.",
        ),
        (
            lambda: distribution.categorical(
                key_node(), make_input((2, 3), float32), shape=(3,)
            ),
            errors.ShapeError,
            None,
        ),
        (
            lambda: distribution.categorical(key_node(), make_input((2, 0), float32)),
            errors.ShapeError,
            None,
        ),
        (
            lambda: distribution.dirichlet(key_node(), make_input((), float32)),
            errors.ShapeError,
            "[dirichlet] the last axis must hold the concentrations. Got: ().",
        ),
        (
            lambda: fold_in(key_node(), 1.5),
            errors.DTypeError,
            "[fold_in] only an integer can be folded in. Got: float32.",
        ),
        (
            lambda: fold_in(key_node(), make_input((2,), int64)),
            errors.ShapeError,
            "[fold_in] one integer is needed. Got: (2,).",
        ),
        (
            lambda: random.permutation(key_node(), -1),
            errors.ShapeError,
            "[permutation] sizes must not be negative. Got: (-1,).",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    if message is not None:
        assert caught.value.message == message
