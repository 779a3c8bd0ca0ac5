"""Generators, keys and draws: the same numbers for a seed, whoever asks and when."""

import numpy as np
import pytest

import plait
from plait import nn, random
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    ShapeError,
    TracingError,
)

DRAWS = {
    "rand": lambda **k: plait.rand(3, **k),
    "randn": lambda **k: plait.randn(3, **k),
    "randperm": lambda **k: plait.randperm(5, **k),
    "uniform": lambda **k: random.uniform(shape=(3,), low=1.0, high=2.0, **k),
    "normal": lambda **k: random.normal(shape=(3,), **k),
    "permutation": lambda **k: random.permutation(5, **k),
    "dropout": lambda **k: plait.dropout(plait.ones(20), 0.5, **k),
}


@pytest.fixture(autouse=True)
def the_default_generator_is_put_back():
    state = random.default_generator.state_dict()
    yield
    random.default_generator.load_state_dict(state)


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_the_same_numbers(name):
    draw = DRAWS[name]
    assert plait.manual_seed(7) is random.default_generator
    first, second = draw(), draw()
    assert first.tolist() != second.tolist()
    plait.manual_seed(7)
    plait.flush()
    assert draw().tolist() == first.tolist()
    own = plait.Generator(7)
    assert draw(generator=own).tolist() == first.tolist()
    assert draw(generator=own).tolist() == second.tolist()
    key = random.key(7)
    assert draw(key=key).tolist() == draw(key=key).tolist() == first.tolist()
    plait.manual_seed(8)
    assert draw().tolist() != first.tolist()


def test_numbers_are_drawn_when_asked_for_not_when_looked_at():
    plait.manual_seed(0)
    a, b = plait.rand(2), plait.rand(2)
    late, early = b.tolist(), a.tolist()
    plait.manual_seed(0)
    assert [plait.rand(2).tolist(), plait.rand(2).tolist()] == [early, late]


def test_an_own_generator_leaves_the_default_alone():
    plait.manual_seed(0)
    plait.rand(2, generator=plait.Generator(1))
    plait.rand(2, key=random.key(1))
    assert random.default_generator.state_dict() == {"seed": 0, "stream": 0}


def test_the_state_of_a_generator():
    generator = plait.Generator(3)
    plait.rand(2, generator=generator)
    state = generator.state_dict()
    assert state == {"seed": 3, "stream": 1}
    expected = plait.rand(2, generator=generator).tolist()
    other = plait.Generator()
    other.load_state_dict(state)
    assert plait.rand(2, generator=other).tolist() == expected
    assert other.seed == 3
    assert generator.manual_seed(3).state_dict() == {"seed": 3, "stream": 0}
    assert plait.Generator(2**64 - 1).seed == 2**64 - 1


@pytest.mark.parametrize(
    "state",
    [{}, {"seed": 1}, {"seed": 1, "stream": 0, "x": 1}, {"seed": -1, "stream": 0}],
)
def test_a_bad_state_changes_nothing(state):
    generator = plait.Generator(3)
    with pytest.raises(ArgumentError):
        generator.load_state_dict(state)
    assert generator.state_dict() == {"seed": 3, "stream": 0}


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ArgumentError), (2**64, ArgumentError), (1.5, ArgumentTypeError)],
)
def test_a_bad_seed_changes_nothing(seed, error):
    before = plait.manual_seed(5).state_dict()
    for use in (plait.manual_seed, plait.Generator, random.key):
        with pytest.raises(error, match="the seed"):
            use(seed)
    assert random.default_generator.state_dict() == before


def test_generators_without_a_seed_differ():
    assert plait.Generator().seed != plait.Generator().seed


# --- keys


def test_keys():
    key = random.key(2**40 + 5)
    assert (key.dtype, key.shape) == (plait.uint32, (4,))
    assert key.tolist() == [5, 2**8, 0, 0]
    assert plait.Generator(2**40 + 5).next_key().tolist() == key.tolist()


def test_split_and_fold_in_make_new_keys():
    key = random.key(0)
    keys = random.split(key, 4)
    assert (keys.dtype, keys.shape) == (plait.uint32, (4, 4))
    assert random.split(key).tolist() == keys[:2].tolist()
    assert random.split(key, 0).shape == (0, 4)
    folded = [random.fold_in(key, i) for i in (0, 1, 2**31, plait.tensor(7))]
    every = [tuple(k) for k in (key.tolist(), *keys.tolist())]
    every += [tuple(k.tolist()) for k in folded]
    every += [tuple(k) for k in random.split(keys[0], 3).tolist()]
    assert len(set(every)) == len(every)
    assert random.fold_in(key, 7).tolist() == folded[3].tolist()
    drawn = {tuple(plait.rand(2, key=keys[i]).tolist()) for i in range(4)}
    assert len(drawn) == 4


def test_bad_keys():
    with pytest.raises(DTypeError, match="uint32"):
        random.split(plait.zeros(4))
    with pytest.raises(ShapeError, match="four words"):
        plait.rand(2, key=plait.zeros(3, dtype="uint32"))
    with pytest.raises(ShapeError, match="negative"):
        random.split(random.key(0), -1)
    with pytest.raises(DTypeError, match="integer"):
        random.fold_in(random.key(0), 1.5)
    with pytest.raises(ShapeError, match="one integer"):
        random.fold_in(random.key(0), plait.tensor([1, 2]))


# --- inside transforms


def test_jit_refuses_draws_without_a_key():
    x = plait.zeros(2)
    for draw in (
        lambda x: x + plait.rand(2),
        lambda x: x + plait.rand(2, generator=plait.Generator(0)),
        lambda x: plait.dropout(x, 0.5),
        lambda x: plait.vmap(lambda y: y + plait.rand())(x),
        lambda x: (random.default_generator.next_key(), x)[1],
    ):
        with pytest.raises(TracingError, match="pass a key"):
            plait.jit(draw)(x)
    assert plait.rand(2).shape == (2,)


def test_jit_draws_with_a_key():
    draw = plait.jit(lambda key: plait.rand(3, key=key))
    for seed in (0, 1):
        key = random.key(seed)
        assert draw(key).tolist() == plait.rand(3, key=key).tolist()


def test_jit_draws_with_keys_of_a_key():
    @plait.jit
    def draw(key, x):
        with random.keyed(key) as keys:
            first = plait.rand(3), plait.dropout(x, 0.5), nn.RReLU()(x - 2)
            own = plait.rand(3, key=random.key(1))
        return *first, own, keys.following()

    x, key = plait.ones(20), random.key(7)
    plait.manual_seed(7)
    for turn in (1, 2):
        *found, own, key = draw(key, x)
        wanted = plait.rand(3), plait.dropout(x, 0.5), nn.RReLU()(x - 2)
        assert [y.tolist() for y in found] == [y.tolist() for y in wanted]
        assert own.tolist() == plait.rand(3, key=random.key(1)).tolist()
        assert key.tolist() == [7, 0, 3 * turn, 0]
        assert key.tolist() == random.default_generator.following().tolist()


def test_a_jit_inside_refuses_keys_from_outside():
    inner = plait.jit(lambda x: x + plait.rand(2))
    with random.keyed(random.key(0)), pytest.raises(TracingError, match="pass a key"):
        inner(plait.zeros(2))
    with random.keyed(random.key(0)) as keys:
        assert plait.vmap(lambda x: x + plait.rand())(plait.zeros(2)).shape == (2,)
        assert keys.count == 1
        own = plait.Generator(3)
        assert plait.rand(2, generator=own).shape == (2,)
        assert (keys.count, own.state_dict()["stream"]) == (1, 1)
    with pytest.raises(ShapeError, match="one key is needed"):
        random.keyed(plait.zeros(2, 4, dtype=plait.uint32))


def test_vmap_shares_a_draw_unless_each_example_has_its_key():
    plait.manual_seed(0)
    shared = plait.vmap(lambda x: x + plait.rand(3))(plait.zeros(4, 3))
    plait.manual_seed(0)
    assert shared.tolist() == [plait.rand(3).tolist()] * 4
    keys = random.split(random.key(1), 4)
    own = plait.vmap(lambda key: plait.rand(3, key=key))(keys)
    one_by_one = [plait.rand(3, key=keys[i]).tolist() for i in range(4)]
    assert own.tolist() == one_by_one
    assert len({tuple(row) for row in one_by_one}) == 4


def test_scan_draws_with_a_key_for_each_step():
    keys = random.split(random.key(1), 4)
    _, rows = plait.scan(
        lambda c, key: (c, plait.rand(2, key=key)), plait.zeros(()), keys
    )
    assert rows.tolist() == [plait.rand(2, key=keys[i]).tolist() for i in range(4)]


# --- draws


def test_shapes_and_dtypes():
    for draw in (plait.rand, plait.randn):
        assert [draw(*s).shape for s in ((), (2,), (2, 3), ((2, 3),), ([2],))] == [
            (), (2,), (2, 3), (2, 3), (2,)
        ]  # fmt: skip
        assert draw(2).dtype is plait.float32
        for dtype in ("float16", "bfloat16", "float64"):
            assert draw(2, dtype=dtype).dtype.name == dtype
        with pytest.raises(DTypeError, match="floating-point"):
            draw(2, dtype="int32")
        with pytest.raises(ShapeError, match="negative"):
            draw(-1)
    assert plait.randperm(0).shape == (0,)
    assert plait.randperm(3).dtype is plait.int64
    with pytest.raises(ShapeError, match="negative"):
        plait.randperm(-1)


def test_distributions_look_right():
    plait.manual_seed(0)
    u, n = plait.rand(20_000).numpy(), plait.randn(20_000).numpy()
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.02
    assert abs(n.mean()) < 0.05
    assert abs(n.std() - 1) < 0.05
    assert sorted(plait.randperm(50).tolist()) == list(range(50))
    np.testing.assert_array_equal(np.unique(plait.randperm(9).numpy()), np.arange(9))


def test_a_draw_is_a_constant_to_derivatives():
    x = plait.ones(3, requires_grad=True)
    noise = plait.rand(3)
    assert not noise.requires_grad
    (x * noise).sum().backward()
    assert x.grad.tolist() == noise.tolist()


def test_a_key_is_given_by_its_name():
    key = random.key(0)
    with pytest.raises(ArgumentTypeError) as caught:
        random.normal(key, shape=(4,))  # it would be the mean
    assert caught.value.message == (
        "[normal] a key is given by its name. Fix: write key=key."
    )
    assert random.normal(key=key, shape=(4,)).shape == (4,)
