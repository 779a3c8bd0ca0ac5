"""Tensors: what NumPy does, with derivatives, and run only when somebody looks."""

import numpy as np

import plait

# Made from numbers, lists and NumPy arrays. Functions have the Array API's names.
x = plait.tensor([[1.0, 2.0], [3.0, 4.0]])
y = plait.asarray(np.eye(2, dtype=np.float32))
print(x.shape, x.dtype.name)  # (2, 2) float32
print((x @ y + 1).tolist())  # [[2.0, 3.0], [4.0, 5.0]]

# Nothing was computed before `tolist` looked. Until then an op is only recorded:
# its shapes are checked at once, and the values come when they are needed.
total = plait.sum(plait.exp(x) / 10)
print(f"{total.item():.3f}")  # 8.479

# `backward` finds derivatives with respect to tensors that ask for it.
w = plait.tensor([1.0, -2.0], requires_grad=True)
loss = ((x @ w) ** 2).sum()
loss.backward()
print(w.grad.tolist())  # [-36.0, -52.0]

# A function's derivative, without marking anything; it can be derived again.
slope = plait.grad(lambda t: t**3)
print(slope(plait.tensor(2.0)).item())  # 12.0
print(plait.grad(slope)(plait.tensor(2.0)).item())  # 12.0

# Errors say what happened, what was given, and which line of yours it was.
try:
    x @ plait.ones(3)
except plait.errors.ShapeError as error:
    print(error.what)  # [matmul] the inner sizes differ
