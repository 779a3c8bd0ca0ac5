"""A derivative of your own: rounding that training can see through.

The true derivative of rounding is 0 almost everywhere, which teaches nothing. The
straight-through estimator passes gradients on as if nothing had been rounded.

Source: Y. Bengio, N. Leonard, A. Courville, "Estimating or propagating gradients
through stochastic neurons for conditional computation", 2013.
"""

import plait


@plait.custom_vjp
def rounded(x):
    """Round, with a derivative of 1."""
    return plait.round(x)


def forward(x):
    """Return the result, and what the derivative will need: nothing."""
    return plait.round(x), None


def backward(residuals, cotangent):
    """Return one cotangent for each argument."""
    return (cotangent,)


rounded.defvjp(forward, backward)

x = plait.tensor([0.4, 1.6])
print(plait.grad(lambda t: plait.round(t).sum())(x).tolist())  # [0.0, 0.0]
print(plait.grad(lambda t: rounded(t).sum())(x).tolist())  # [1.0, 1.0]

# Fit whole numbers to a target: descent moves x, and what is used is rounded(x).
target = plait.tensor([3.0, -2.0])
for _ in range(50):
    gradient = plait.grad(lambda t: ((rounded(t) - target) ** 2).sum())(x)
    x = x - 0.1 * gradient
print(rounded(x).tolist())  # [3.0, -2.0]
