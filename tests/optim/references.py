"""Every optimizer once more, in NumPy: transcripts of the formulas in their papers.

Each takes the first value of a parameter, its gradients one after another, and all
hyperparameters, and returns the value after the last step.
"""

import math

import numpy as np


def up(gradients, maximize):
    return [-g if maximize else g for g in gradients]


def norm(x):
    return math.sqrt((x * x).sum())


def sgd(x, gradients, lr, momentum, dampening, weight_decay, nesterov, maximize):
    buffer = None
    for g in up(gradients, maximize):
        g = g + weight_decay * x
        if momentum:
            if buffer is None:
                buffer = g
            else:
                buffer = momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        x = x - lr * g
    return x


def adam(x, gradients, lr, betas, eps, weight_decay, amsgrad, maximize, **flags):
    (b1, b2), m, v, top = betas, 0, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        if flags["decoupled_weight_decay"]:
            x = x * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * x
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        top = np.maximum(top, v)
        used = top if amsgrad else v
        mean, square = m / (1 - b1**t), used / (1 - b2**t)
        x = x - lr * mean / (np.sqrt(square) + eps)
    return x


def rmsprop(
    x, gradients, lr, alpha, eps, weight_decay, momentum, centered, maximize
):  # fmt: skip
    v, mean, buffer = 0, 0, 0
    for g in up(gradients, maximize):
        g = g + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        used = v - mean**2 if centered else v
        buffer = momentum * buffer + g / (np.sqrt(used) + eps)
        x = x - lr * buffer
    return x


def adagrad(x, gradients, lr, lr_decay, weight_decay, eps, maximize, **start):
    v = start["initial_accumulator_value"]
    for t, g in enumerate(up(gradients, maximize), 1):
        g = g + weight_decay * x
        v = v + g**2
        x = x - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(v) + eps)
    return x


def adadelta(x, gradients, lr, rho, eps, weight_decay, maximize):
    squares, steps = 0, 0
    for g in up(gradients, maximize):
        g = g + weight_decay * x
        squares = rho * squares + (1 - rho) * g**2
        step = -np.sqrt(steps + eps) / np.sqrt(squares + eps) * g
        steps = rho * steps + (1 - rho) * step**2
        x = x + lr * step
    return x


def adamax(x, gradients, lr, betas, eps, weight_decay, maximize):
    (b1, b2), m, u = betas, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        g = g + weight_decay * x
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        x = x - lr / (1 - b1**t) * m / u
    return x


def nadam(x, gradients, lr, betas, eps, weight_decay, momentum_decay, **flags):
    (b1, b2), m, v, product = betas, 0, 0, 1.0
    for t, g in enumerate(up(gradients, flags["maximize"]), 1):
        if flags["decoupled_weight_decay"]:
            x = x * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * x
        mu = b1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        after = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product *= mu
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        ahead = after * m / (1 - product * after) + (1 - mu) * g / (1 - product)
        x = x - lr * ahead / (np.sqrt(v / (1 - b2**t)) + eps)
    return x


def radam(x, gradients, lr, betas, eps, weight_decay, **flags):
    (b1, b2), m, v = betas, 0, 0
    most = 2 / (1 - b2) - 1
    for t, g in enumerate(up(gradients, flags["maximize"]), 1):
        if flags["decoupled_weight_decay"]:
            x = x * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * x
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mean = m / (1 - b1**t)
        rho = most - 2 * t * b2**t / (1 - b2**t)
        if rho > 5:
            adaptive = math.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
            rectified = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
            x = x - lr * math.sqrt(rectified) * mean * adaptive
        else:
            x = x - lr * mean
    return x


def rprop(x, gradients, lr, etas, step_sizes, maximize):
    before, size = np.zeros_like(x), np.full_like(x, lr)
    for g in up(gradients, maximize):
        product = before * g
        factor = np.select([product > 0, product < 0], [etas[1], etas[0]], 1.0)
        size = np.clip(size * factor, *step_sizes)
        g = np.where(product < 0, 0, g)
        x = x - np.sign(g) * size
        before = g
    return x


def asgd(x, gradients, lr, lambd, alpha, t0, weight_decay, maximize):
    for t, g in enumerate(up(gradients, maximize)):
        rate = lr / (1 + lambd * lr * t) ** alpha
        x = x - rate * (g + weight_decay * x + lambd * x)
    return x


def asgd_mean(points, t0):
    """The mean of the points after each step, from step t0 + 1 on."""
    mean = points[0]
    for t, x in enumerate(points):
        share = 1 / max(1, t - t0)
        mean = (1 - share) * mean + share * x
    return mean


def adafactor(x, gradients, lr, beta2_decay, eps, d, weight_decay, maximize):
    if not x.size:
        return x
    eps1 = np.finfo(x.dtype).eps if eps[0] is None else eps[0]
    rows, columns, v = 0, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        new = t**beta2_decay
        alpha = max(eps[1], norm(x) / math.sqrt(x.size)) * min(lr, 1 / math.sqrt(t))
        x = x - lr * weight_decay * x
        if x.ndim > 1:
            rows = (1 - new) * rows + new * (g**2).mean(-1)
            columns = (1 - new) * columns + new * (g**2).mean(-2)
            middle = np.maximum(rows.mean(-1), eps1)[..., None, None]
            v = rows[..., :, None] * columns[..., None, :] / middle
        else:
            v = (1 - new) * v + new * g**2
        step = g / np.sqrt(np.maximum(v, eps1**2))
        x = x - alpha * step / max(1, norm(step) / math.sqrt(x.size) / d)
    return x


def muon(x, gradients, lr, weight_decay, momentum, nesterov, eps, **others):
    """The polynomial is applied to the singular values themselves."""
    a, b, c = others["ns_coefficients"]
    shape = x.shape
    x = x.reshape(shape[0], math.prod(shape[1:]))
    if not x.size:
        return x.reshape(shape)
    rows, columns = x.shape
    buffer = np.zeros_like(x)
    factor = math.sqrt(max(1, rows / columns))
    if others["adjust_lr_fn"] == "match_rms_adamw":
        factor = 0.2 * math.sqrt(max(rows, columns))
    for g in gradients:
        g = g.reshape(x.shape)
        buffer = momentum * buffer + (1 - momentum) * g
        ahead = momentum * buffer + (1 - momentum) * g if nesterov else buffer
        u, s, vt = np.linalg.svd(ahead, full_matrices=False)
        s = s / max(norm(s), eps)
        for _ in range(others["ns_steps"]):
            s = a * s + b * s**3 + c * s**5
        x = x - lr * weight_decay * x - lr * factor * (u * s) @ vt
    return x.reshape(shape)


def sparse_adam(x, gradients, lr, betas, eps, maximize):
    (b1, b2), x = betas, np.array(x)
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(up(gradients, maximize), 1):
        for row in np.ndindex(x.shape[:1]):
            if np.any(g[row] != 0):
                m[row] = b1 * m[row] + (1 - b1) * g[row]
                v[row] = b2 * v[row] + (1 - b2) * g[row] ** 2
                rate = lr * math.sqrt(1 - b2**t) / (1 - b1**t)
                x[row] -= rate * m[row] / (np.sqrt(v[row]) + eps)
    return x


def ftrl(x, gradients, lr, lr_power, l1, l2, l2_shrinkage, beta, maximize, **start):
    n = np.full_like(x, start["initial_accumulator_value"])
    z = np.zeros_like(x)
    for g in up(gradients, maximize):
        after = n + g**2
        sigma = (after**-lr_power - n**-lr_power) / lr
        z = z + g + 2 * l2_shrinkage * x - sigma * x
        n = after
        divisor = n**-lr_power / lr + 2 * (l2 + beta / (2 * lr))
        x = np.where(np.abs(z) <= l1, 0, (np.sign(z) * l1 - z) / divisor)
    return x


def lamb(x, gradients, lr, betas, eps, weight_decay, maximize):
    (b1, b2), m, v = betas, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + weight_decay * x
        ratio = norm(x) / norm(step) if norm(x) and norm(step) else 1
        x = x - lr * ratio * step
    return x


def lars(x, gradients, lr, momentum, weight_decay, eps, nesterov, maximize, **more):
    buffer = 0
    for g in up(gradients, maximize):
        ratio = 1
        if norm(x) and norm(g):
            ratio = more["trust_coefficient"] * norm(x)
            ratio /= norm(g) + weight_decay * norm(x) + eps
        step = lr * ratio * (g + weight_decay * x)
        buffer = momentum * buffer + step
        x = x - (momentum * buffer + step if nesterov else buffer)
    return x


def lion(x, gradients, lr, betas, weight_decay, maximize):
    (b1, b2), m = betas, 0
    for g in up(gradients, maximize):
        x = x - lr * (np.sign(b1 * m + (1 - b1) * g) + weight_decay * x)
        m = b2 * m + (1 - b2) * g
    return x


def signum(x, gradients, lr, momentum, weight_decay, maximize):
    m = 0
    for g in up(gradients, maximize):
        m = momentum * m + (1 - momentum) * g
        x = x - lr * (np.sign(m) + weight_decay * x)
    return x


def schedule_free(x, gradients, step_of, lr, momentum, **more):
    """In terms of x, y and z, as the paper has it; returns y."""
    y = z = x
    total, greatest = 0, 0
    for t, g in enumerate(gradients, 1):
        warm = more["warmup_steps"]
        rate = lr * min(1, t / warm) if warm else lr
        greatest = max(greatest, rate)
        weight = t ** more["r"] * greatest ** more["weight_lr_power"]
        total += weight
        z = z - rate * (step_of(t, g) + more["weight_decay"] * y)
        x = (1 - weight / total) * x + weight / total * z
        y = (1 - momentum) * z + momentum * x
    return y


def schedule_free_sgd(x, gradients, **settings):
    return schedule_free(x, gradients, lambda t, g: g, **settings)


def schedule_free_adamw(x, gradients, betas, eps, **settings):
    kept = {"v": 0}

    def step_of(t, g):
        kept["v"] = betas[1] * kept["v"] + (1 - betas[1]) * g**2
        return g / (np.sqrt(kept["v"] / (1 - betas[1] ** t)) + eps)

    return schedule_free(x, gradients, step_of, momentum=betas[0], **settings)


def adabelief(x, gradients, lr, betas, eps, weight_decay, maximize):
    (b1, b2), m, s = betas, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        x = x - lr * weight_decay * x
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        x = x - lr * m / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + eps)
    return x


def yogi(x, gradients, lr, betas, eps, weight_decay, maximize, **start):
    (b1, b2), m = betas, start["initial_accumulator_value"]
    v = m
    for t, g in enumerate(up(gradients, maximize), 1):
        g = g + weight_decay * x
        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * np.sign(v - g**2) * g**2
        x = x - lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
    return x


def adan(x, gradients, lr, betas, eps, weight_decay, maximize):
    (b1, b2, b3), m, v, n, before = betas, 0, 0, 0, None
    for t, g in enumerate(up(gradients, maximize), 1):
        change = 0 if before is None else g - before
        before = g
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * change
        n = b3 * n + (1 - b3) * (g + b2 * change) ** 2
        rate = lr / (np.sqrt(n / (1 - b3**t)) + eps)
        x = x - rate * (m / (1 - b1**t) + b2 * v / (1 - b2**t))
        x = x / (1 + lr * weight_decay)
    return x


def ademamix(x, gradients, lr, betas, alpha, eps, weight_decay, maximize, **steps):
    (b1, b2, b3), m, slow, v = betas, 0, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        a, b = alpha, b3
        if steps["t_alpha"]:
            a = min(t * alpha / steps["t_alpha"], alpha)
        if steps["t_beta3"]:
            f = t / steps["t_beta3"]
            l1, l3 = math.log(b1), math.log(b3)
            b = min(math.exp(l1 * l3 / ((1 - f) * l3 + f * l1)), b3) if f < 1 else b3
        m = b1 * m + (1 - b1) * g
        slow = b * slow + (1 - b) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t) + a * slow) / (np.sqrt(v / (1 - b2**t)) + eps)
        x = x - lr * (step + weight_decay * x)
    return x


def adopt(x, gradients, lr, betas, eps, weight_decay, maximize):
    first, *rest = up(gradients, maximize)
    (b1, b2), m, v = betas, 0, first**2
    for t, g in enumerate(rest, 1):
        x = x - lr * weight_decay * x
        limit = t**0.25
        scaled = np.clip(g / np.maximum(np.sqrt(v), eps), -limit, limit)
        m = b1 * m + (1 - b1) * scaled
        x = x - lr * m
        v = b2 * v + (1 - b2) * g**2
    return x


def madgrad(x, gradients, lr, momentum, weight_decay, eps, maximize):
    start, s, v = x, 0, 0
    for k, g in enumerate(up(gradients, maximize)):
        g = g + weight_decay * x
        rate = lr * math.sqrt(k + 1)
        s = s + rate * g
        v = v + rate * g**2
        z = start - s / (np.cbrt(v) + eps)
        x = momentum * x + (1 - momentum) * z
    return x


def novograd(x, gradients, lr, betas, eps, weight_decay, grad_averaging, maximize):
    (b1, b2), m, v = betas, 0, None
    for g in up(gradients, maximize):
        v = norm(g) ** 2 if v is None else b2 * v + (1 - b2) * norm(g) ** 2
        step = g / (math.sqrt(v) + eps) + weight_decay * x
        m = b1 * m + ((1 - b1) * step if grad_averaging else step)
        x = x - lr * m
    return x


def sm3(x, gradients, lr, momentum, maximize):
    if not x.size:
        return x
    m = 0
    shape = x.shape
    x = x.reshape(shape or (1,))
    sums = [np.zeros(n) for n in x.shape]
    for g in up(gradients, maximize):
        g = g.reshape(x.shape)
        v = np.empty_like(x)
        for place in np.ndindex(x.shape):
            v[place] = min(a[i] for a, i in zip(sums, place, strict=True))
            v[place] += g[place] ** 2
        for axis, a in enumerate(sums):
            for i in range(len(a)):
                a[i] = np.take(v, i, axis).max()
        m = momentum * m + (1 - momentum) * g / np.sqrt(v)
        x = x - lr * m
    return x.reshape(shape)


def fromage(x, gradients, lr, maximize):
    for g in up(gradients, maximize):
        ratio = norm(x) / norm(g) if norm(x) and norm(g) else 1
        x = (x - lr * ratio * g) / math.sqrt(1 + lr**2)
    return x


def ftml(x, gradients, lr, betas, eps, weight_decay, maximize):
    (b1, b2), v, d, z = betas, 0, 0, 0
    for t, g in enumerate(up(gradients, maximize), 1):
        g = g + weight_decay * x
        v = b2 * v + (1 - b2) * g**2
        after = (1 - b1**t) / lr * (np.sqrt(v / (1 - b2**t)) + eps)
        sigma = after - b1 * d
        z = b1 * z + (1 - b1) * g - sigma * x
        d = after
        x = -z / d
    return x


REFERENCES = {
    "ADOPT": adopt,
    "ASGD": asgd,
    "AdEMAMix": ademamix,
    "AdaBelief": adabelief,
    "Adadelta": adadelta,
    "Adafactor": adafactor,
    "Adagrad": adagrad,
    "Adam": adam,
    "AdamW": adam,
    "Adamax": adamax,
    "Adan": adan,
    "FTML": ftml,
    "Fromage": fromage,
    "Ftrl": ftrl,
    "LAMB": lamb,
    "LARS": lars,
    "Lion": lion,
    "MADGRAD": madgrad,
    "Muon": muon,
    "NAdam": nadam,
    "NovoGrad": novograd,
    "RAdam": radam,
    "RMSprop": rmsprop,
    "Rprop": rprop,
    "SGD": sgd,
    "SM3": sm3,
    "ScheduleFreeAdamW": schedule_free_adamw,
    "ScheduleFreeSGD": schedule_free_sgd,
    "Signum": signum,
    "SparseAdam": sparse_adam,
    "Yogi": yogi,
}
