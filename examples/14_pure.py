"""A training as a pure function: parameters go in and come out, many trainings run side
by side, and all steps are one program.
"""

import plait
from plait import random


def layer(key, inputs, outputs):
    """A linear map, drawn with a key."""
    weight = random.normal(0.0, inputs**-0.5, shape=(inputs, outputs), key=key)
    return {"weight": weight, "bias": plait.zeros(outputs)}


def made(key):
    """The parameters of a network: a list of dictionaries of tensors."""
    first, second = random.split(key)
    return [layer(first, 2, 16), layer(second, 16, 2)]


def scores(parameters, x):
    """What the network makes of points."""
    *hidden, last = parameters
    for one in hidden:
        x = plait.tanh(x @ one["weight"] + one["bias"])
    return x @ last["weight"] + last["bias"]


def loss(parameters, x, y):
    """How wrong it is."""
    return plait.cross_entropy(scores(parameters, x), y)


def trained(key, x, y, steps=300, rate=0.5):
    """Parameters after so many steps of descent, and the losses on the way.

    `scan` records one step, whatever their number: a program of 300 steps is compiled
    as fast as one of three.
    """

    def step(parameters, _):
        value, gradients = plait.value_and_grad(loss)(parameters, x, y)
        new = plait.tree_map(lambda p, g: p - rate * g, parameters, gradients)
        return new, value

    return plait.scan(step, made(key), None, length=steps)


# Points in four quarters of the plane; those in opposite ones belong together.
points = random.uniform(-1.0, 1.0, shape=(200, 2), key=random.key(0))
labels = (points[:, 0] * points[:, 1] > 0).to(plait.int64)

parameters, losses = trained(random.key(1), points, labels)
print(losses.shape, bool(losses[-1] < 0.2 * losses[0]))  # (300,) True

# Five networks at once, each from a key of its own: `vmap` of the whole training.
keys = random.split(random.key(2), 5)
every, losses = plait.vmap(lambda key: trained(key, points, labels))(keys)
print(every[0]["weight"].shape, losses.shape)  # (5, 2, 16) (5, 300)

# What they say together: the mean of their probabilities.
said = plait.vmap(lambda one: plait.softmax(scores(one, points), axis=-1))(every)
right = said.mean(0).argmax(1) == labels
print(bool(right.float().mean() > 0.95))  # True
