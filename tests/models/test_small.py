"""The small nets of earlier days: each does what its formula says, and learns."""

import math
from functools import partial

import numpy as np
import pytest

import plait
from plait import models, optim
from plait.errors import ArgumentError, ShapeError


@pytest.fixture(autouse=True)
def seed():
    plait.manual_seed(0)


def message(call, kind=ArgumentError):
    with pytest.raises(kind) as error:
        call()
    return error.value.message


def trained(net, loss, batches, lr=0.01):
    """Return the losses of steps of Adam."""
    optimizer = optim.Adam(net.parameters(), lr=lr)
    found = []
    for batch in batches:
        value = loss(*batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.detach())
    return [float(value) for value in found]


def floats(x):
    return plait.asarray(np.asarray(x, np.float32))


# --- perceptrons


def test_the_rule_of_the_perceptron():
    random = np.random.default_rng(0)
    x = random.normal(size=(20, 3)).astype(np.float32)
    y = random.integers(0, 2, 20)
    net = models.Perceptron(3)
    mistakes = net.fit(floats(x), plait.asarray(y), epochs=4, rate=0.5).tolist()
    weight, bias, expected = np.zeros(3), 0.0, []
    for _ in range(4):
        wrong = 0
        for one, target in zip(x, y, strict=True):
            error = int(target) - int(one @ weight + bias > 0)
            weight, bias = weight + 0.5 * error * one, bias + 0.5 * error
            wrong += error != 0
        expected.append(wrong)
    assert mistakes == expected
    np.testing.assert_allclose(net.weight.numpy(), weight, rtol=1e-4, atol=1e-5)
    assert float(net.bias) == bias
    assert list(net.state_dict()) == ["weight", "bias"]


def test_the_perceptron_learns_what_a_plane_parts():
    random = np.random.default_rng(1)
    x = random.normal(size=(200, 2))
    side = x @ [2.0, -1.0] + 0.3
    x, y = x[abs(side) > 0.2], side[abs(side) > 0.2] > 0
    net = models.Perceptron(2)
    mistakes = net.fit(floats(x), plait.asarray(y), epochs=200).numpy()
    assert mistakes[0] > 0
    assert mistakes[-1] == 0
    assert (net(floats(x)).numpy() == y).all()
    corners = floats([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert net.fit(corners, plait.asarray([0, 1, 1, 0])).numpy().all()  # xor: never
    text = message(lambda: net.fit(corners, plait.asarray([0, 1])), ShapeError)
    assert text == (
        "[Perceptron] there is not one class for each example. Got: (2,). Expected: "
        "(4,)."
    )


def test_several_layers_learn_xor():
    x = floats([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = floats([[0], [1], [1], [0]])
    net = models.MultilayerPerceptron((2, 8, 1), final=plait.nn.Sigmoid)
    trained(net, lambda: plait.mse_loss(net(x), y), [()] * 150, lr=0.05)
    assert (net(x).numpy().round() == y.numpy()).all()
    assert [*net.state_dict()][-1] == "2.bias"
    text = message(lambda: models.MultilayerPerceptron((3,)))
    assert text.startswith("[MultilayerPerceptron] there is nothing between one size")


# --- memory


def test_the_formula_of_the_jordan_net():
    net = models.JordanNet(2, 3, 2)
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    said, rows = np.zeros((2, 2)), []
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    for t in range(5):
        hidden = np.tanh(
            x[:, t] @ state["input.weight"].T
            + state["input.bias"]
            + said @ state["context.weight"].T
        )
        said = hidden @ state["readout.weight"].T + state["readout.bias"]
        rows.append(said)
    got = net(floats(x)).numpy()
    np.testing.assert_allclose(got, np.stack(rows, 1), rtol=1e-4, atol=1e-5)


def delayed(random, steps, delay):
    """Yield batches of bits and the same bits some steps later."""
    for _ in range(steps):
        x = random.integers(0, 2, size=(32, 10, 1)).astype(np.float32)
        y = np.concatenate([np.zeros((32, delay, 1), np.float32), x[:, :-delay]], 1)
        yield floats(x), floats(y)


@pytest.mark.parametrize(
    ("make", "delay", "steps", "lr"),
    [(models.ElmanNet, 1, 80, 0.02), (models.LSTMNet, 3, 200, 0.03)],
)
def test_nets_remember(make, delay, steps, lr):
    net = make(1, 12, 1)

    def loss(x, y):
        return plait.mse_loss(net(x)[:, delay:], y[:, delay:])

    losses = trained(net, loss, delayed(np.random.default_rng(0), steps, delay), lr)
    assert losses[0] > 0.2
    assert np.mean(losses[-5:]) < 0.05


def test_the_jordan_net_learns_to_add_up():
    net = models.JordanNet(1, 16, 1)
    random = np.random.default_rng(0)
    x = random.uniform(-0.4, 0.4, size=(64, 8, 1))
    kept, rows = np.zeros((64, 1)), []
    for t in range(8):
        kept = 0.7 * kept + x[:, t]
        rows.append(kept)
    x, y = floats(x), floats(np.stack(rows, 1))
    losses = trained(net, lambda: plait.mse_loss(net(x), y), [()] * 100, 0.02)
    assert losses[-1] < 0.05 * float(y.numpy().var())


# --- reservoirs


def test_echoes_fade_and_are_their_formula():
    net = models.EchoStateNetwork(2, 20, 1, leak=0.6, spectral_radius=0.8)
    weight_in, weight = net.weight_in.numpy(), net.weight.numpy()
    assert max(abs(np.linalg.eigvals(weight))) == pytest.approx(0.8, rel=1e-4)
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    state, rows = np.zeros(20), []
    for part in x:
        state = 0.4 * state + 0.6 * np.tanh(part @ weight_in + state @ weight)
        rows.append(state)
    np.testing.assert_allclose(
        net.states(floats(x)).numpy(), rows, rtol=1e-4, atol=1e-5
    )
    pulse = np.zeros((200, 2))
    pulse[0] = 1
    assert abs(net.states(floats(pulse)).numpy()[-1]).max() < 1e-6
    again = models.EchoStateNetwork(2, 20, 1, leak=0.6, spectral_radius=0.8)
    np.testing.assert_array_equal(again.weight.numpy(), weight)


def test_an_echo_state_network_goes_on_with_a_wave():
    t = np.arange(460)
    wave = floats((np.sin(0.2 * t) + 0.5 * np.sin(0.31 * t))[:, None])
    net = models.EchoStateNetwork(1, 80, 1)
    error = net.fit(wave[:399], wave[1:400], washout=50, ridge=1e-9)
    assert float(error) < 1e-5
    more = net.go_on(wave[:400], 40).numpy()
    assert abs(more - wave.numpy()[400:440]).max() < 0.2
    # The least squares are those of NumPy.
    seen = np.concatenate(
        [np.ones((399, 1)), wave.numpy()[:399], net.states(wave[:399]).numpy()], 1
    )[50:].astype(float)
    costs = seen.T @ seen + 1e-2 * 349 * np.eye(82)
    expected = np.linalg.solve(costs, seen.T @ wave.numpy()[51:400])
    net.fit(wave[:399], wave[1:400], washout=50, ridge=1e-2)
    np.testing.assert_allclose(net.readout.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_pulses_are_their_formula_and_can_be_read():
    net = models.LiquidStateMachine(1, 150, 1)
    random = np.random.default_rng(0)
    x = random.integers(0, 2, size=(600, 1)).repeat(2, 0).astype(np.float32)
    weight_in, weight = net.weight_in.numpy(), net.weight.numpy()
    tension, sent, rows = np.zeros(150, np.float32), np.zeros(150, np.float32), []
    for part in x[:40]:
        tension = np.float32(0.9) * tension + part @ weight_in + sent @ weight
        sent = (tension >= 1).astype(np.float32)
        tension = tension * (1 - sent)
        rows.append(sent)
    np.testing.assert_array_equal(net.pulses(floats(x[:40])).numpy(), rows)
    assert 0.02 < np.mean(rows) < 0.9
    # What came a few steps ago can be read from the states.
    y = np.concatenate([np.zeros((2, 1), np.float32), x[:-2]])
    error = float(net.fit(floats(x[:1000]), floats(y[:1000]), washout=20, ridge=1e-4))
    assert error < 0.5 * y.var()
    said = net(floats(x)).numpy()[1000:]
    assert ((said > 0.5) == (y[1000:] > 0.5)).mean() > 0.8


def test_wrong_reservoirs():
    assert message(lambda: models.EchoStateNetwork(1, 4, 1, leak=0.0)) == (
        "[EchoStateNetwork] a setting is out of range. Got: leak=0.0, density=0.2, "
        "spectral_radius=0.9. Expected: above 0 and at most 1, the same, and at least "
        "0."
    )
    assert message(lambda: models.LiquidStateMachine(1, 4, 1, decay=1.5)) == (
        "[LiquidStateMachine] decay lies in 0..1. Got: decay=1.5."
    )
    net = models.EchoStateNetwork(1, 4, 2)
    x = plait.zeros((5, 1))
    assert message(lambda: net.fit(x, x), ShapeError) == (
        "[EchoStateNetwork] the sequences do not fit. Got: (5, 1). Expected: (n, 2)."
    )
    long = plait.zeros((5, 2))
    assert message(lambda: net.fit(x, long, washout=5), ShapeError) == (
        "[EchoStateNetwork] the sequences have other lengths. Got: 5 and 5, washout=5. "
        "Expected: equal lengths, and more steps than those that do not count."
    )
    assert message(lambda: net.go_on(x, 3), ShapeError) == (
        "[EchoStateNetwork] the outputs cannot be inputs. Got: 2 outputs. Expected: 1."
    )
    with pytest.raises(NotImplementedError, match=r"Reservoir\.states"):
        models.Reservoir(1, 2, 1, np.zeros((1, 2)), np.zeros((2, 2)))(x)


# --- memory of patterns, maps


@pytest.mark.parametrize("rule", ["hebb", "projection"])
def test_a_hopfield_net_finds_what_it_has_stored(rule):
    random = np.random.default_rng(2)
    patterns = np.sign(random.normal(size=(4, 64))).astype(np.float32)
    net = models.HopfieldNet(64)
    net.store(floats(patterns), rule)
    weight = net.weight.numpy()
    np.testing.assert_array_equal(weight.diagonal(), 0)
    if rule == "hebb":
        expected = patterns.T @ patterns / 64 * (1 - np.eye(64))
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    broken = patterns.copy()
    broken[:, random.permutation(64)[:8]] *= -1
    found = net(floats(broken))
    np.testing.assert_array_equal(found.numpy(), patterns)
    before, after = net.energy(floats(broken)).numpy(), net.energy(found).numpy()
    assert (after < before).all()
    expected = [-x @ weight @ x / 2 for x in patterns]
    np.testing.assert_allclose(after, expected, rtol=1e-4)


def test_wrong_hopfield_nets():
    net = models.HopfieldNet(3)
    assert message(lambda: net.store(plait.ones((1, 3)), "storkey")) == (
        "[HopfieldNet] unknown rule. Got: 'storkey'. Expected: 'hebb' or 'projection'."
    )
    assert message(lambda: net(plait.ones((1, 4))), ShapeError) == (
        "[HopfieldNet] the patterns do not fit. Got: (1, 4). Expected: (n, 3)."
    )
    assert message(lambda: net.store([[1, 0, 1]])) == (
        "[HopfieldNet] patterns are -1 and 1. Fix: of 0 and 1, take 2 * x - 1."
    )


def test_the_rule_of_the_map():
    net = models.SelfOrganizingMap(2, 3, 2)
    points = net.points.numpy().astype(float)
    x = np.array([[0.3, -0.8]])
    net.fit(floats(x), epochs=2, rate=(0.5, 0.1), radius=(1.5, 0.5))
    grid = np.array([[i // 3, i % 3] for i in range(6)])
    for i in range(2):
        near = ((points - x) ** 2).sum(1).argmin()
        apart = ((grid - grid[near]) ** 2).sum(1)
        width = 1.5 * (0.5 / 1.5) ** (i / 2)
        pull = 0.5 * 0.2 ** (i / 2) * np.exp(-apart / (2 * width**2))
        points += pull[:, None] * (x - points)
    np.testing.assert_allclose(net.points.numpy(), points, rtol=1e-4, atol=1e-5)


def test_a_map_lays_itself_over_a_square():
    x = plait.random.uniform(shape=(300, 2))
    net = models.SelfOrganizingMap(5, 5, 2)
    before = float(net.error(x))
    distances = net.fit(x, epochs=8).numpy()
    assert float(net.error(x)) < 0.12 < before
    assert distances.shape == (8,)
    assert 0.12 > distances[-1] > 0
    assert distances[0] > 2 * distances[-1]
    assert {*map(tuple, net(x).tolist())} >= {(0, 0), (4, 4), (0, 4), (4, 0)}
    # Neighbours on the grid lie near to one another.
    grid = net.points.numpy().reshape(5, 5, 2)
    steps = [np.linalg.norm(np.diff(grid, axis=axis), axis=-1) for axis in (0, 1)]
    assert max(step.max() for step in steps) < 0.45
    text = message(lambda: net(plait.zeros((2, 3))), ShapeError)
    assert text == (
        "[SelfOrganizingMap] the examples do not fit. Got: (2, 3). Expected: (n, 2)."
    )


def test_lists_and_arrays_will_do():
    x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1]
    for given in (x, np.array(x), np.array(x, np.float64)):
        net = models.Perceptron(2)
        assert net.fit(given, y, epochs=10)[-1].item() == 0
        assert net(given).tolist() == y
    wave = np.sin(np.arange(60))[:, None]
    echo = models.EchoStateNetwork(1, 20, 1)
    assert echo.fit(wave[:-1], wave[1:], washout=10).item() < 1e-3
    assert echo(wave.tolist()).dtype is plait.float32
    memory = models.HopfieldNet(3)
    memory.store([[1, -1, 1]])
    assert memory([[1, 1, 1]]).tolist() == [[1, -1, 1]]
    assert models.RestrictedBoltzmannMachine(2, 3).fit(x, epochs=2).shape == (2,)
    assert models.SelfOrganizingMap(2, 2, 2).fit(x, epochs=2).shape == (2,)
    assert models.DeepQ(2, 2).act([0.0, 1.0]) in (0, 1)


# --- nets that make examples


def bars(random, count):
    """Return pictures of 4 x 4 pixels with one bar, as rows."""
    pictures = np.zeros((count, 4, 4), np.float32)
    which = random.integers(0, 8, count)
    for picture, i in zip(pictures, which, strict=True):
        if i < 4:
            picture[i] = 1
        else:
            picture[:, i - 4] = 1
    return pictures.reshape(count, 16)


BARS = bars(np.random.default_rng(0), 64)


def test_an_autoencoder_gives_back_what_it_takes():
    x = floats(BARS)
    net = models.Autoencoder((16, 12, 4), final=plait.nn.Sigmoid)
    losses = trained(net, lambda: plait.mse_loss(net(x), x), [()] * 200, 0.02)
    assert losses[-1] < 0.02 < losses[0]
    assert net.encoder(x).shape == (64, 4)


def test_a_denoising_autoencoder_gives_back_more():
    x = floats(BARS)
    net = models.DenoisingAutoencoder((16, 24), final=plait.nn.Sigmoid, p=0.3)
    trained(net, lambda: plait.mse_loss(net(x), x), [()] * 250, 0.02)
    seen = net.corrupted(x)
    assert 0.55 < seen.numpy().sum() / BARS.sum() < 0.85
    net.eval()
    healed = float(plait.mse_loss(net(seen), x))
    assert healed < 0.5 * float(plait.mse_loss(seen, x))
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
    noisy = models.DenoisingAutoencoder((16, 4), p=0.0, noise=0.5)
    assert (noisy.corrupted(x) - x).numpy().std() == pytest.approx(0.5, rel=0.1)
    assert message(lambda: models.DenoisingAutoencoder((16, 4), p=1.0)) == (
        "[DenoisingAutoencoder] a setting is out of range. Got: p=1.0, noise=0.0. "
        "Expected: 0 <= p < 1 and noise >= 0."
    )


def test_a_variational_autoencoder_draws_new_examples():
    x = floats(BARS)
    net = models.VariationalAutoencoder((16, 32, 3))
    losses = trained(net, lambda: net.loss(net(x), x), [()] * 250, 0.02)
    assert losses[-1] < 0.65 * losses[0]
    new = net.eval().sample(200).numpy()
    assert new.shape == (200, 16)
    nearest = abs(new[:, None] - np.unique(BARS, axis=0)).mean(-1).min(1)
    assert np.median(nearest) < 0.15
    output = net(x)
    logits, mean, log_variance = (part.numpy().astype(float) for part in output)
    wrong = (np.log1p(np.exp(logits)) - logits * BARS).sum()
    apart = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / 2
    got = float(net.loss(output, x))
    assert got == pytest.approx((wrong + apart) / 64, rel=1e-4)


def test_a_gan_finds_both_clouds():
    random = np.random.default_rng(0)
    net = models.GAN(2, 1, hidden=(32,), lr=5e-3)
    for _ in range(600):
        side = random.choice([-1.0, 1.0], size=(64, 1))
        net.step(floats(side * 2 + random.normal(0, 0.2, (64, 1))))
    made = net.sample(400).numpy()[:, 0]
    assert np.mean(abs(abs(made) - 2) < 0.8) > 0.6
    assert 0.15 < np.mean(made > 0) < 0.85


def test_the_losses_of_a_gan():
    net = models.GAN(2, 1)
    told, seen = net.step(plait.zeros((8, 1)))
    # At first nothing can be told apart.
    assert float(told) == pytest.approx(2 * math.log(2), abs=0.3)
    assert float(seen) == pytest.approx(math.log(2), abs=0.3)


def test_a_boltzmann_machine_learns_bars():
    x = floats(BARS)
    net = models.RestrictedBoltzmannMachine(16, 24)
    errors = net.fit(x, epochs=600, rate=0.5).numpy()
    assert errors[-1] < 0.04 < errors[0]
    assert abs(net.reconstruct(x).numpy() - BARS).mean() < 0.1
    random = np.random.default_rng(0)
    other = floats(random.permuted(BARS, axis=1))
    assert net.free_energy(x).numpy().mean() < net.free_energy(other).numpy().mean() - 3
    # The sum over all hidden states, of a small one.
    small = models.RestrictedBoltzmannMachine(3, 2)
    small.fit(floats([[1, 0, 1]]), epochs=5, steps=2)
    v = np.array([1.0, 1.0, 0.0])
    weight, below, above = (value.numpy() for value in small.state_dict().values())
    states = [np.array([a, b]) for a in (0, 1) for b in (0, 1)]
    total = sum(np.exp(v @ weight @ h + v @ below + h @ above) for h in states)
    got = float(small.free_energy(floats(v[None])))
    assert got == pytest.approx(-math.log(total), rel=1e-4)
    text = message(lambda: small.fit(plait.zeros((2, 4))), ShapeError)
    assert text == (
        "[RestrictedBoltzmannMachine] the examples do not fit. Got: (2, 4). Expected: "
        "(n, 3)."
    )


# --- learning what to do


def test_the_grid():
    world = models.GridWorld(3, 3, goal=(0, 2), walls=[(0, 1)], pits=[(1, 1)], limit=5)
    assert world.reset().argmax() == 0
    assert world.step(3)[0].argmax() == 0  # a wall
    assert world.step(0)[0].argmax() == 0  # the edge
    seen, reward, over = world.step(1)
    assert (seen.argmax(), reward, over) == (3, -0.04, False)
    seen, reward, over = world.step(3)
    assert (seen.argmax(), reward, over) == (4, -1.0, True)
    world.reset()
    assert [world.step(2)[2] for _ in range(5)] == [False] * 4 + [True]
    for place in ((0, 3), (-1, 0)):
        text = message(partial(models.GridWorld, 3, 3, goal=place))
        assert text == (
            f"[GridWorld] a place does not lie in the grid. Got: {place}. Expected: "
            "0..2 and 0..2."
        )
    text = message(lambda: models.GridWorld(2, 2, walls=[(0, 0)]))
    assert text == "[GridWorld] start or goal is a wall."


def test_the_pole_falls_as_poles_do():
    world = models.CartPole(limit=500)
    world.reset()
    world.state = np.array([0.0, 0.0, 0.1, 0.0])
    # The equations of motion: what the forces do to cart and pole.
    before = world.state.copy()
    world.step(1)
    moving, turning = (world.state - before)[[1, 3]] / 0.02
    sine, cosine = math.sin(0.1), math.cos(0.1)
    assert 1.1 * moving + 0.1 * 0.5 * turning * cosine == pytest.approx(10.0)
    assert 4 / 3 * 0.5 * turning == pytest.approx(9.8 * sine - moving * cosine)
    count, over = 0, False
    world.reset()
    while not over:
        over = world.step(1)[2]
        count += 1
    assert 5 < count < 20
    short = models.CartPole(limit=3, seed=1)
    short.reset()
    assert [short.step(i % 2)[2] for i in range(3)] == [False, False, True]


def test_deep_q_finds_the_way():
    world = models.GridWorld(3, 4, walls=[(1, 1)], pits=[(1, 3)])
    agent = models.DeepQ(
        world.features, world.actions, hidden=(24,), lr=1e-2, discount=0.9,
        epsilon=(1.0, 0.1, 500), copy_every=50, learn_every=2,
    )  # fmt: skip
    agent.train_on(world, 80)
    assert agent.play(world) == pytest.approx(1 - 4 * 0.04)
    # What the last step but one is worth: the goal's 1 is a step away.
    world.place = (2, 2)
    worth = agent(floats(world._seen()[None])).numpy()[0]
    assert worth.argmax() == 3
    assert worth[3] == pytest.approx(1.0, abs=0.15)


def test_what_deep_q_keeps():
    agent = models.DeepQ(2, 2, memory=4, batch_size=4)
    for i in range(3):
        agent.remember(np.full(2, i), 0, 1.0, np.full(2, i + 1), False)
    assert agent.learn() is None
    target = agent.target.state_dict()["0.weight"].numpy().copy()
    agent.remember(np.full(2, 3), 1, 0.0, np.full(2, 4), True)
    assert math.isfinite(float(agent.learn()))
    np.testing.assert_array_equal(agent.target.state_dict()["0.weight"].numpy(), target)
    assert (agent.net.state_dict()["0.weight"].numpy() != target).any()
    agent.remember(np.full(2, 9), 1, 0.0, np.full(2, 4), True)
    assert agent._seen[:, 0].tolist() == [9, 1, 2, 3]
    assert message(lambda: models.DeepQ(2, 2, discount=1.5)) == (
        "[DeepQ] a setting is out of range. Got: discount=1.5, batch_size=32, "
        "memory=5000. Expected: 0 <= discount <= 1 and 0 < batch_size <= memory."
    )


def test_deep_q_learns_what_an_action_is_worth():
    # One state that ends at once: action 0 gives 1, action 1 gives -1.
    agent = models.DeepQ(1, 2, hidden=(8,), lr=0.02)
    one = np.ones(1, np.float32)
    for i in range(40):
        agent.remember(one, i % 2, 1.0 - 2 * (i % 2), one, True)
    for _ in range(150):
        agent.learn()
    np.testing.assert_allclose(agent(floats([[1]])).numpy()[0], [1, -1], atol=0.1)
    assert agent.act(one) == 0
