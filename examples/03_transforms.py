"""Functions of functions: derivatives, many examples at once, loops that are
recorded.
"""

import plait


def energy(x):
    """A scalar of a vector."""
    return (x[0] ** 2 * x[1]) + plait.sin(x[1])


x = plait.tensor([2.0, 0.0])

# Derivatives of first and second order.
print(plait.grad(energy)(x).tolist())  # [0.0, 5.0]
print(plait.hessian(energy)(x).tolist())  # [[0.0, 4.0], [4.0, 0.0]]

# The directional derivative in forward mode: one pass, whatever the number of inputs.
value, slope = plait.jvp(energy, [x], [plait.tensor([1.0, 1.0])])
print(value.item(), slope.item())  # 0.0 5.0

# Written for one example, run for many: here a gradient for each row.
points = plait.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
slopes = plait.vmap(plait.grad(energy))(points)
print(slopes.tolist())  # [[0.0, 2.0], [0.0, 5.0], [0.0, 10.0]]


# A loop as one recorded operation, with a derivative: a running average.
def smoothed(signal, keep):
    """Each value mixed with the average so far; return the last and all of them."""

    def step(average, value):
        average = keep * average + (1 - keep) * value
        return average, average

    return plait.scan(step, plait.zeros(()), signal)


signal = plait.tensor([1.0, 1.0, 0.0, 0.0])
last, all_of_them = smoothed(signal, 0.5)
print(all_of_them.tolist())  # [0.5, 0.75, 0.375, 0.1875]
slope = plait.grad(lambda s: smoothed(s, 0.5)[0])(signal)
print(slope.tolist())  # [0.0625, 0.125, 0.25, 0.5]
