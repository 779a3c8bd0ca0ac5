"""Functions of functions, against closed forms, Python loops and one another."""

import numpy as np
import pytest

import plait
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    GradientError,
    ShapeError,
    TracingError,
)
from plait.tensor import trie

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


def real(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def t(*shape, seed=0):
    return plait.tensor(real(*shape, seed=seed), dtype=plait.float64)


def close(x, y, rtol=1e-10, atol=1e-12):
    x = x.numpy() if isinstance(x, plait.Tensor) else np.asarray(x)
    y = y.numpy() if isinstance(y, plait.Tensor) else np.asarray(y)
    assert x.shape == y.shape
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def cube(x):
    return (x**3).sum()


def mixed(x):
    return (plait.sin(x) * x.exp()).sum() + (x[0] * x[1]) ** 2


def mixed_torch(x):
    return (torch.sin(x) * x.exp()).sum() + (x[0] * x[1]) ** 2


# --- grad and value_and_grad


def test_grad_of_a_power():
    x = t(4)
    close(plait.grad(cube)(x), 3 * x.numpy() ** 2)


def test_value_and_grad_gives_both():
    x = t(4)
    value, gradient = plait.value_and_grad(cube)(x)
    close(value, (x.numpy() ** 3).sum())
    close(gradient, 3 * x.numpy() ** 2)


def test_grad_of_a_python_float():
    close(plait.grad(lambda x: x * x)(3.0).double(), 6.0)


def test_argnums():
    x, y = t(3), t(3, seed=1)

    def f(a, b):
        return (a * b * b).sum()

    close(plait.grad(f, 1)(x, y), 2 * x.numpy() * y.numpy())
    close(plait.grad(f, -1)(x, y), 2 * x.numpy() * y.numpy())
    both = plait.grad(f, (1, 0))(x, y)
    assert isinstance(both, tuple)
    close(both[0], 2 * x.numpy() * y.numpy())
    close(both[1], y.numpy() ** 2)
    one = plait.grad(f, (0,))(x, y)
    assert isinstance(one, tuple)
    assert len(one) == 1


def test_the_same_tensor_twice_has_two_gradients():
    x = t(3)
    first, second = plait.grad(lambda a, b: (a * a * b).sum(), (0, 1))(x, x)
    close(first, 2 * x.numpy() ** 2)
    close(second, x.numpy() ** 2)


def test_keyword_arguments_are_passed_on():
    x = t(3)
    close(plait.grad(lambda a, *, k: (a * k).sum())(x, k=2.0), np.full(3, 2.0))


def test_has_aux():
    x = t(3)

    def f(a):
        return (a * a).sum(), {"twice": a * 2, "name": "aux"}

    (value, aux), gradient = plait.value_and_grad(f, has_aux=True)(x)
    close(value, (x.numpy() ** 2).sum())
    close(aux["twice"], 2 * x.numpy())
    assert aux["name"] == "aux"
    assert not aux["twice"].requires_grad
    close(gradient, 2 * x.numpy())
    gradient, aux = plait.grad(f, has_aux=True)(x)
    close(gradient, 2 * x.numpy())
    close(aux["twice"], 2 * x.numpy())


def test_trees_of_arguments():
    tree = {"w": t(2, 3), "b": [t(3, seed=1), (t(3, seed=2),)]}

    def f(p):
        return (p["w"].sum(axis=0) * p["b"][0] + p["b"][1][0] ** 2).sum()

    found = plait.grad(f)(tree)
    assert list(found) == ["w", "b"]
    assert isinstance(found["b"], list)
    assert isinstance(found["b"][1], tuple)
    close(found["w"], np.broadcast_to(tree["b"][0].numpy(), (2, 3)))
    close(found["b"][0], tree["w"].numpy().sum(0))
    close(found["b"][1][0], 2 * tree["b"][1][0].numpy())


@pytest.mark.parametrize("start", [-1.0, 2.0])
def test_a_branch_on_a_value_inside(start):
    def f(x):
        return x * x if x > 0 else -3 * x

    x = plait.tensor(start, dtype=plait.float64)
    close(plait.grad(f)(x), 2 * start if start > 0 else -3.0)


def test_a_flush_anywhere_inside_changes_nothing():
    x = t(3)

    def f(a, place):
        steps = [plait.sin, lambda b: b * a, lambda b: b.exp(), lambda b: b.sum()]
        result = a
        for i, step in enumerate(steps):
            if i == place:
                plait.flush()
            result = step(result)
        if place == len(steps):
            plait.flush()
        return result

    value, gradient = plait.value_and_grad(f)(x, -1)
    for place in range(5):
        again, found = plait.value_and_grad(f)(x, place)
        assert again.item() == value.item()
        close(found, gradient)


def test_a_result_that_depends_on_nothing_has_zero_gradient():
    x = t(3)
    close(plait.grad(lambda a: plait.ones((), dtype=plait.float64))(x), np.zeros(3))


def test_grad_leaves_leaves_alone():
    x = t(3)
    w = t(3, seed=1).requires_grad_()
    plait.grad(lambda a: (a * w).sum())(x)
    assert w.grad is None
    value, gradient = plait.value_and_grad(lambda a: (a * a * w).sum())(x)
    assert value.requires_grad
    assert gradient.requires_grad
    gradient.sum().backward()
    close(w.grad, 2 * x.numpy())


def test_gradient_of_a_gradient_by_backward():
    x = t(3).requires_grad_()
    plait.grad(cube)(x).sum().backward()
    close(x.grad, 6 * x.numpy())


def test_grad_inside_no_grad():
    x = t(3).requires_grad_()
    with plait.no_grad():
        found = plait.grad(cube)(x)
    assert not found.requires_grad
    close(found, 3 * x.numpy() ** 2)


def test_no_grad_inside_grad_cuts():
    def f(x):
        with plait.no_grad():
            fixed = x * x
        return (fixed * x).sum()

    x = t(3)
    close(plait.grad(f)(x), x.numpy() ** 2)


def test_detach_inside_grad_cuts():
    x = t(3)
    close(plait.grad(lambda a: (a.detach() * a).sum())(x), x.numpy())


def test_third_derivative():
    f = plait.grad(plait.grad(plait.grad(lambda x: x**4)))
    close(f(plait.tensor(2.0, dtype=plait.float64)), 48.0)


def test_errors_of_grad():
    x = t(3)
    with pytest.raises(GradientError, match=r"\[grad\] the function must return a te"):
        plait.grad(lambda a: a * 2)(x)
    with pytest.raises(GradientError, match="Got: float"):
        plait.grad(lambda a: 1.0)(x)
    with pytest.raises(ArgumentError, match="there is no such argument"):
        plait.grad(cube, 1)(x)
    with pytest.raises(ArgumentTypeError, match="Got: a tensor of type int64"):
        plait.grad(cube)(plait.tensor([1, 2]))


def test_an_error_inside_leaves_the_gradient_mode():
    def f(x):
        raise ValueError("inside")

    with plait.no_grad():
        with pytest.raises(ValueError, match="inside"):
            plait.grad(f)(t(3))
        assert not plait.is_grad_enabled()
    assert plait.is_grad_enabled()


# --- vjp and jvp


def test_vjp_and_jvp_are_transposed():
    x, v, c = t(3), t(3, seed=1), t(2, seed=2)
    m = t(2, 3, seed=3)

    def f(a):
        return m @ plait.tanh(a)

    value, pull = plait.vjp(f, x)
    (pulled,) = pull(c)
    again, pushed = plait.jvp(f, (x,), (v,))
    close(value, again)
    close((pulled * v).sum(), (c * pushed).sum())
    jac = m.numpy() * (1 - np.tanh(x.numpy()) ** 2)
    close(pulled, c.numpy() @ jac)
    close(pushed, jac @ v.numpy())


def test_vjp_may_be_pulled_twice_and_over_a_flush():
    x = t(3)
    value, pull = plait.vjp(lambda a: plait.sin(a), x)
    first = pull(t(3, seed=1))[0].numpy()
    plait.flush()
    close(pull(t(3, seed=1))[0], first, rtol=0, atol=0)
    close(value, np.sin(x.numpy()))


def test_vjp_of_trees():
    x, y = t(3), t(3, seed=1)
    value, pull = plait.vjp(lambda a, b: {"p": a["x"] * b, "s": b.sum()}, {"x": x}, y)
    found = pull({"p": plait.ones_like(x), "s": plait.tensor(2.0)})
    close(found[0]["x"], y.numpy())
    close(found[1], x.numpy() + 2)
    close(value["s"], y.numpy().sum())


def test_vjp_errors():
    _, pull = plait.vjp(lambda a: (a, a), t(3))
    with pytest.raises(ArgumentError, match="has not the structure of the result"):
        pull(t(3))
    with pytest.raises(ShapeError, match=r"Got: \(2,\) for an output of shape \(3,\)"):
        pull((t(3), t(2)))


def test_jvp_errors():
    with pytest.raises(ArgumentError, match="primals and tangents differ in structure"):
        plait.jvp(cube, (t(3),), (t(3), t(3)))
    with pytest.raises(ShapeError, match=r"Got: \(2,\) for \(3,\)"):
        plait.jvp(cube, (t(3),), (t(2),))


def test_jvp_of_grad_is_a_hessian_vector_product():
    x, v = t(3), t(3, seed=1)
    gradient, product = plait.jvp(plait.grad(mixed), (x,), (v,))
    close(product, plait.hessian(mixed)(x) @ v)
    close(gradient, plait.grad(mixed)(x))


def test_jvp_of_jvp():
    x = plait.tensor(0.7, dtype=plait.float64)
    one = plait.ones_like(x)

    def first(a):
        return plait.jvp(plait.sin, (a,), (one,))[1]

    close(plait.jvp(first, (x,), (one,))[1], -np.sin(0.7))


def test_grad_of_jvp():
    x, v = t(3), t(3, seed=1)
    found = plait.grad(lambda a: plait.jvp(mixed, (a,), (v,))[1])(x)
    close(found, plait.hessian(mixed)(x) @ v)


def test_jvp_with_a_flush_inside():
    def f(a):
        b = plait.sin(a)
        plait.flush()
        return b * a

    x, v = t(3), t(3, seed=1)
    close(
        plait.jvp(f, (x,), (v,))[1],
        v.numpy() * (np.cos(x.numpy()) * x.numpy() + np.sin(x.numpy())),
    )


# --- jacobian and hessian


def test_jacobian_of_a_matrix_product():
    m, x = t(2, 3), t(3, seed=1)
    close(plait.jacobian(lambda a: m @ a)(x), m)
    by_m = plait.jacobian(lambda a, b: a @ b)(m, x)
    assert by_m.shape == (2, 2, 3)
    close(by_m, np.einsum("ij,k->ijk", np.eye(2), x.numpy()))


def test_jacobian_of_trees():
    x, y = t(2), t(2, seed=1)
    found = plait.jacobian(lambda a, b: {"p": a * b, "q": a.sum()}, (0, 1))(x, y)
    close(found["p"][0], np.diag(y.numpy()))
    close(found["p"][1], np.diag(x.numpy()))
    close(found["q"][0], np.ones(2))
    close(found["q"][1], np.zeros(2))


def test_hessian_in_closed_form():
    a = real(3, 3)
    x = t(3, seed=1)
    found = plait.hessian(lambda x: x @ plait.tensor(a) @ x)(x)
    close(found, a + a.T)


@needs_torch
def test_derivatives_like_torch():
    x = real(4)
    theirs = torch.tensor(x)
    ours = plait.tensor(x)
    # (torch.func warns of deprecations of its own.)
    functional = torch.autograd.functional
    close(plait.grad(mixed)(ours), functional.jacobian(mixed_torch, theirs).numpy())
    close(plait.hessian(mixed)(ours), functional.hessian(mixed_torch, theirs).numpy())
    close(
        plait.jacobian(lambda a: plait.sin(a) * a.sum())(ours),
        functional.jacobian(lambda a: torch.sin(a) * a.sum(), theirs).numpy(),
    )


# --- vmap


def test_vmap_along_axes():
    x, y = t(4, 3), t(3, 4, seed=1)
    f = plait.vmap(lambda a, b: (a * b).sum(), in_axes=(0, 1))
    close(f(x, y), np.einsum("ij,ji->i", x.numpy(), y.numpy()))
    g = plait.vmap(lambda a, b: a * b, in_axes=(0, None), out_axes=1)
    w = t(3, seed=2)
    close(g(x, w), (x.numpy() * w.numpy()).T)
    close(plait.vmap(lambda a: a.sum(), in_axes=-1)(x), x.numpy().sum(0))
    close(plait.vmap(lambda a: a * 2, out_axes=-1)(x), 2 * x.numpy().T)


def test_vmap_of_trees_and_out_axes_of_several():
    x = t(4, 3)
    a, b = plait.vmap(lambda p: (p["x"] * 2, p["x"] + 1), out_axes=(0, 1))({"x": x})
    close(a, 2 * x.numpy())
    close(b, (x.numpy() + 1).T)


def test_vmap_of_a_result_that_is_shared():
    close(plait.vmap(lambda a: plait.ones(2))(t(4)), np.ones((4, 2)))


def test_nested_vmap():
    x, y = t(4), t(5, seed=1)
    f = plait.vmap(plait.vmap(lambda a, b: a * b, (None, 0)), (0, None))
    close(f(x, y), np.outer(x.numpy(), y.numpy()))


def test_vmap_of_grad_and_hessian():
    x = t(4, 3)
    rows = [plait.tensor(row) for row in x.numpy()]
    close(
        plait.vmap(plait.grad(mixed))(x),
        np.stack([plait.grad(mixed)(row).numpy() for row in rows]),
    )
    close(
        plait.vmap(plait.hessian(mixed))(x),
        np.stack([plait.hessian(mixed)(row).numpy() for row in rows]),
    )


def test_grad_of_vmap():
    x = t(4, 3)
    close(plait.grad(lambda a: plait.vmap(cube)(a).sum())(x), 3 * x.numpy() ** 2)


def test_vmap_with_captured_parameters():
    w = t(3, seed=1).requires_grad_()
    x = t(4, 3)
    plait.vmap(lambda a: (a * w).sum())(x).sum().backward()
    close(w.grad, x.numpy().sum(0))


def test_vmap_of_scan():
    x = t(4, 5)

    def total(row):
        return plait.scan(lambda c, a: (c * 0.5 + a, c), row[0] * 0, row)

    last, steps = plait.vmap(total)(x)
    carry = np.zeros(4)
    for i in range(5):
        close(steps[:, i], carry)
        carry = carry * 0.5 + x.numpy()[:, i]
    close(last, carry)


def test_vmap_of_cond_and_while_loop():
    x = plait.tensor([1.0, -2.0, 3.0])

    def f(a):
        return plait.cond(a > 0, lambda b: b * 10, lambda b: -b, a)

    close(plait.vmap(f)(x), [10.0, 2.0, 30.0])

    def g(a):
        return plait.while_loop(lambda s: s < 20, lambda s: s * 2 + 5, a)

    expected = []
    for s in (1.0, -2.0, 3.0):
        while s < 20:
            s = s * 2 + 5
        expected.append(s)
    close(plait.vmap(g)(x), expected)


def test_vmap_errors():
    with pytest.raises(ArgumentError, match="1 axes for 2 arguments"):
        plait.vmap(lambda a, b: a, in_axes=(0,))(t(3), t(3))
    with pytest.raises(ShapeError, match="Got: 3 and 4"):
        plait.vmap(lambda a, b: a)(t(3), t(4))
    with pytest.raises(ArgumentError, match="no argument with an axis"):
        plait.vmap(lambda a: a, in_axes=None)(t(3))
    with pytest.raises(IndexError, match="vmap"):
        plait.vmap(lambda a: a)(plait.tensor(1.0))
    with pytest.raises(TracingError, match="function given to vmap"):
        plait.vmap(lambda a: a if a > 0 else -a)(t(3))


# --- jit


def test_jit_gives_the_same():
    x, y = t(3), t(3, seed=1)
    f = plait.jit(lambda a, b: {"p": (a * b).sin(), "q": [b]})
    found = f(x, b=y)
    close(found["p"], np.sin(x.numpy() * y.numpy()))
    close(found["q"][0], y)


def test_floats_do_not_retrace():
    calls = []

    @plait.jit
    def f(x, k):
        calls.append(k)
        return x * k

    x = t(3)
    for i in range(3):
        close(f(x, i + 0.5), x.numpy() * (i + 0.5))
        if i == 0:
            before = trie.roots.count
    assert len(calls) == 1
    assert trie.roots.count == before


def test_statics_and_types_retrace():
    calls = []

    @plait.jit
    def f(x, n, name="a"):
        calls.append((n, name))
        return x * n

    x = t(3)
    close(f(x, 2), 2 * x.numpy())
    close(f(x, 3), 3 * x.numpy())
    close(f(x, 2), 2 * x.numpy())
    assert len(calls) == 2
    f(x, 2, name="b")
    f(t(4), 2)
    f(x.float(), 2)
    assert len(calls) == 5
    f(x.float(), 2)
    f(x, True)
    assert len(calls) == 6


def test_jit_of_captured_tensors():
    w = t(3, seed=1).requires_grad_()
    f = plait.jit(lambda a: (a * w).sum())
    x = t(3)
    for i in range(3):
        w.grad = None
        f(x).backward()
        close(w.grad, x.numpy())
        value = f(x).item()
        close(value, (x.numpy() * w.numpy()).sum())
        with plait.no_grad():
            w += float(i + 1)


def test_jit_of_a_captured_tensor_that_changes_its_type():
    w = plait.nn.Parameter(plait.ones(3))
    f = plait.jit(lambda a: (a * w).sum())
    assert f(plait.ones(3)).item() == 3
    w.data = plait.full((2, 1), 2.0, dtype=plait.float64)
    assert f(plait.ones(3)).item() == 12
    assert f(plait.ones(3)).dtype is plait.float64
    w.requires_grad_(False)
    assert not f(plait.ones(3)).requires_grad


def test_jit_of_arrays_and_of_what_can_be_no_key():
    calls = []

    @plait.jit
    def f(x, other=None):
        calls.append(type(x))
        return x * 2

    for i in range(3):
        close(f(np.array([1.0, i])), [2.0, 2.0 * i])
    assert calls == [plait.Tensor]
    with pytest.raises(ArgumentTypeError, match=r"\[jit\] an argument.*Got: a set"):
        f(plait.ones(2), {1, 2})


def test_jit_by_an_argument_that_requires_a_gradient():
    f = plait.jit(lambda a: (a**3).sum())
    x = t(3)
    assert not f(x).requires_grad
    x.requires_grad_()
    f(x).backward()
    close(x.grad, 3 * x.numpy() ** 2)
    with plait.no_grad():
        assert not f(x).requires_grad
    assert f(x).requires_grad


def test_jit_inside_other_transforms():
    f = plait.jit(mixed)
    x = t(3)
    close(plait.grad(f)(x), plait.grad(mixed)(x))
    close(plait.hessian(f)(x), plait.hessian(mixed)(x))
    close(plait.jit(plait.grad(mixed))(x), plait.grad(mixed)(x))
    rows = t(2, 3)
    close(plait.vmap(f)(rows), plait.vmap(mixed)(rows))
    close(plait.jit(plait.vmap(mixed))(rows), plait.vmap(mixed)(rows))
    close(plait.jit(plait.jit(mixed))(x), mixed(x))


def test_looking_inside_jit_is_an_error():
    @plait.jit
    def f(x):
        return x if x.sum() > 0 else -x

    for _ in range(2):
        with pytest.raises(TracingError, match="looked at while the function given to"):
            f(t(3))
    close(plait.sin(t(3)), np.sin(real(3)))  # all goes on


def test_a_tensor_that_leaks_out_is_an_error():
    kept = []

    @plait.jit
    def f(x):
        kept.append(x * 2)
        return x + 1

    f(t(3)).numpy()
    with pytest.raises(TracingError, match="made inside the function given to jit was"):
        kept[0].numpy()
    with pytest.raises(TracingError):
        (kept[0] + 1).numpy()
    assert "not computed" in repr(kept[0])


def test_backward_inside_a_recorded_function_is_an_error():
    x = t(3).requires_grad_()
    with pytest.raises(TracingError, match=r"\[backward\] nothing is accumulated whi"):
        plait.jit(lambda a: a.sum().backward())(x)


# --- recompute


def test_recompute_changes_nothing():
    w = t(3, 3).requires_grad_()
    x = t(3, seed=1)

    def block(a):
        return plait.tanh(w @ a) + a

    def loss(f):
        w.grad = None
        result = (f(f(x)) ** 2).sum()
        result.backward()
        return result.item(), w.grad.numpy()

    value, gradient = loss(block)
    again, found = loss(plait.recompute(block))
    assert value == again
    close(found, gradient)


def test_recompute_composes():
    x = t(3)
    f = plait.recompute(mixed)
    close(plait.hessian(f)(x), plait.hessian(mixed)(x))
    rows = t(2, 3)
    close(plait.vmap(plait.grad(f))(rows), plait.vmap(plait.grad(mixed))(rows))
    close(plait.jvp(f, (x,), (x,))[1], plait.jvp(mixed, (x,), (x,))[1])


# --- custom_vjp


def scaled(factor):
    @plait.custom_vjp
    def f(x, y):
        return x * y

    f.defvjp(lambda x, y: (x * y, (x, y)), lambda r, ct: (ct * r[1] * factor, None))
    return f


def test_custom_vjp_uses_the_rule():
    x, y = t(3), t(3, seed=1)
    f = scaled(10.0)
    close(f(x, y), x.numpy() * y.numpy())
    gx, gy = plait.grad(lambda a, b: f(a, b).sum(), (0, 1))(x, y)
    close(gx, 10 * y.numpy())
    close(gy, np.zeros(3))
    x.requires_grad_()
    f(x, y).sum().backward()
    close(x.grad, 10 * y.numpy())


def test_custom_vjp_composes():
    x, y = t(4, 3), t(4, 3, seed=1)
    f = scaled(10.0)
    g = plait.vmap(plait.grad(lambda a, b: f(a, b).sum()))
    close(g(x, y), 10 * y.numpy())
    h = plait.grad(lambda b: (plait.grad(lambda a: f(a, b).sum())(x) * x).sum())
    close(h(y), 10 * x.numpy())
    close(plait.jit(plait.grad(lambda a, b: f(a, b).sum()))(x, y), 10 * y.numpy())


def test_custom_vjp_with_captured_tensors():
    w = t(3, seed=2)

    @plait.custom_vjp
    def f(x):
        return x * w

    f.defvjp(lambda x: (x * w, None), lambda _, ct: (ct * w * 2,))
    x = t(3).requires_grad_()
    f(x).sum().backward()
    close(x.grad, 2 * w.numpy())
    w.requires_grad_()
    close(f(x), x.numpy() * w.numpy())
    with pytest.raises(GradientError, match="a differentiable value that is no argum"):
        f(x).sum().backward()


def test_custom_vjp_of_integers_has_no_derivative():
    @plait.custom_vjp
    def f(x, n):
        return x * n

    f.defvjp(lambda x, n: (x * n, n), lambda n, ct: (ct * n, ct))
    assert f(plait.tensor([1, 2]), plait.tensor(3)).tolist() == [3, 6]
    x = plait.tensor([1.0, 2.0])
    assert plait.grad(lambda x: f(x, plait.tensor(3)).sum())(x).tolist() == [3, 3]

    @plait.custom_vjp
    def g(pair):
        return pair[0] * pair[1]

    g.defvjp(lambda pair: (pair[0] * pair[1], pair), lambda pair, ct: ((ct,),))
    with pytest.raises(GradientError, match="Got: 1 for 2 in an argument"):
        g((x, x))


def test_custom_vjp_errors():
    @plait.custom_vjp
    def f(x):
        return x

    with pytest.raises(GradientError, match=r"\[custom_vjp\] f has no rule yet"):
        f(t(3))
    f.defvjp(lambda x: (x, None), lambda _, ct: (ct, ct))
    with pytest.raises(GradientError, match="Got: 2 for 1 arguments"):
        f(t(3).requires_grad_()).sum().backward()
    f.defvjp(lambda x: (x, None), lambda _, ct: (ct[:2],))
    with pytest.raises(ShapeError, match="a cotangent differs in shape from its arg"):
        f(t(3).requires_grad_()).sum().backward()


# --- cond


@pytest.mark.parametrize("flag", [True, False])
def test_cond(flag):
    w = t(3, seed=1).requires_grad_()
    x = t(3).requires_grad_()
    result = plait.cond(plait.tensor(flag), lambda a: a * w, lambda a: plait.sin(a), x)
    result.sum().backward()
    close(result, x.numpy() * w.numpy() if flag else np.sin(x.numpy()))
    close(x.grad, w.numpy() if flag else np.cos(x.numpy()))
    if flag:
        close(w.grad, x.numpy())
    else:
        assert w.grad is None or not w.grad.numpy().any()


def test_cond_on_a_python_bool_and_of_trees():
    found = plait.cond(
        True, lambda p: {"a": p["x"] + 1}, lambda p: {"a": p["x"]}, {"x": t(3)}
    )
    close(found["a"], real(3) + 1)


def test_grad_and_hessian_through_cond():
    def f(x):
        return plait.cond(x.sum() > 0, cube, lambda a: (a * a).sum(), x)

    x = t(3).abs()
    close(plait.hessian(f)(x), np.diag(6 * x.numpy()))
    close(plait.hessian(f)(-x), 2 * np.eye(3))


def test_cond_errors():
    x = t(3)
    with pytest.raises(ArgumentError, match="the branches return different structures"):
        plait.cond(True, lambda a: a, lambda a: (a, a), x)
    with pytest.raises(ShapeError, match=r"\[cond\]"):
        plait.cond(True, lambda a: a, lambda a: a[:2], x)
    with pytest.raises(DTypeError, match=r"\[cond\]"):
        plait.cond(True, lambda a: a, lambda a: a.float(), x)
    with pytest.raises(ShapeError, match="must be one bool"):
        plait.cond(x > 0, lambda a: a, lambda a: a, x)
    with pytest.raises(DTypeError, match="must be one bool"):
        plait.cond(x.sum(), lambda a: a, lambda a: a, x)
    with pytest.raises(TracingError, match="function given to cond"):
        plait.cond(True, lambda a: a.item(), lambda a: a, x.sum())


# --- while_loop


def test_while_loop_against_python():
    limit = plait.tensor(100.0)
    state = plait.while_loop(
        lambda s: s["x"] < limit,
        lambda s: {"x": s["x"] * 2, "n": s["n"] + 1},
        {"x": plait.tensor(3.0), "n": plait.tensor(0)},
    )
    x, n = 3.0, 0
    while x < 100:
        x, n = x * 2, n + 1
    assert (state["x"].item(), state["n"].item()) == (x, n)


def test_while_loop_that_never_runs():
    assert plait.while_loop(lambda x: x < 0, lambda x: x * 2, plait.tensor(1.0)) == 1


def test_while_loop_forward_mode_only():
    def f(x):
        return plait.while_loop(lambda s: s < 50, lambda s: s * s, x)

    x = plait.tensor(3.0, dtype=plait.float64)
    value, tangent = plait.jvp(f, (x,), (plait.ones_like(x),))
    close(value, 81.0)
    close(tangent, 4 * 27.0)
    with pytest.raises(GradientError, match="no derivative in reverse mode"):
        plait.grad(f)(x).numpy()


def test_while_loop_errors():
    one = plait.tensor(1.0)
    with pytest.raises(ArgumentError, match="returns another structure"):
        plait.while_loop(lambda s: s < 5, lambda s: (s, s), one)
    with pytest.raises(ShapeError, match=r"\[while_loop\]"):
        plait.while_loop(lambda s: s.sum() < 5, lambda s: s[None], one)
    with pytest.raises(DTypeError, match=r"\[while_loop\]"):
        plait.while_loop(lambda s: s < 5, lambda s: s.double(), one)
    with pytest.raises(DTypeError, match="must be one bool"):
        plait.while_loop(lambda s: s, lambda s: s, one)
    with pytest.raises(TracingError, match="function given to while_loop"):
        plait.while_loop(lambda s: bool(s < 5), lambda s: s, one)


# --- scan


def rnn(h, x, w, u):
    h = plait.tanh(w @ h + u @ x)
    return h, (h * h).sum()


def unrolled(h, xs, w, u, order):
    ys = {}
    for i in order:
        h, ys[i] = rnn(h, xs[i], w, u)
    return h, plait.stack([ys[i] for i in range(len(xs))])


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_against_a_loop(reverse):
    h, xs, w, u = t(3), t(5, 2), t(3, 3, seed=1), t(3, 2, seed=2)
    order = range(5)[::-1] if reverse else range(5)

    def by_scan(h, xs, w, u):
        h, ys = plait.scan(lambda c, x: rnn(c, x, w, u), h, xs, reverse=reverse)
        return h.sum() + (ys * ys).sum()

    def by_loop(h, xs, w, u):
        h, ys = unrolled(h, xs, w, u, order)
        return h.sum() + (ys * ys).sum()

    all_four = (0, 1, 2, 3)
    value, found = plait.value_and_grad(by_scan, all_four)(h, xs, w, u)
    expected, wanted = plait.value_and_grad(by_loop, all_four)(h, xs, w, u)
    close(value, expected)
    for one, other in zip(found, wanted, strict=True):
        close(one, other)
    close(
        plait.jvp(lambda a: by_scan(h, xs, a, u), (w,), (w,))[1],
        plait.jvp(lambda a: by_loop(h, xs, a, u), (w,), (w,))[1],
    )


def test_hessian_of_scan():
    xs = t(4)

    def by_scan(a):
        return plait.scan(lambda c, x: (plait.sin(c * a.sum() + x), None), a[0], xs)[0]

    def by_loop(a):
        c = a[0]
        for i in range(4):
            c = plait.sin(c * a.sum() + xs[i])
        return c

    a = t(2, seed=1)
    close(plait.hessian(by_scan)(a), plait.hessian(by_loop)(a))


def test_scan_of_length_alone():
    last, ys = plait.scan(lambda c, _: (c * 2, c), plait.tensor(1.0), length=5)
    assert last == 32
    close(ys, [1.0, 2.0, 4.0, 8.0, 16.0])


def test_scan_of_trees_without_results():
    init = {"sum": plait.tensor(0.0, dtype=plait.float64), "n": plait.tensor(0)}
    xs = (t(4), t(4, seed=1))

    def f(c, pair):
        return {"sum": c["sum"] + pair[0] * pair[1], "n": c["n"] + 1}, None

    last, ys = plait.scan(f, init, xs)
    assert ys is None
    assert last["n"] == 4
    close(last["sum"], (xs[0].numpy() * xs[1].numpy()).sum())


def test_scan_with_captured_parameters():
    w = t(3, 3, seed=1).requires_grad_()
    u = t(3, 2, seed=2)
    h, xs = t(3), t(5, 2)
    plait.scan(lambda c, x: rnn(c, x, w, u), h, xs)[1].sum().backward()
    found = w.grad.numpy()
    w.grad = None
    unrolled(h, xs, w, u, range(5))[1].sum().backward()
    close(found, w.grad)


def test_scan_twice_records_nothing_new():
    xs = t(5)

    def once():
        return plait.scan(lambda c, x: (c + x, c), plait.zeros_like(xs[0]), xs)[
            0
        ].item()

    first = once()
    once()
    before = trie.roots.count
    assert once() == first
    assert trie.roots.count == before


def test_scan_inside_scan():
    m = t(3, 4)

    def row_sum(row):
        return plait.scan(lambda c, x: (c + x, None), row[0] * 0, row)[0]

    def f(a):
        return plait.scan(lambda c, row: (c * row_sum(row), None), a.sum() * 0 + 1, a)[
            0
        ]

    close(f(m), m.numpy().sum(1).prod())
    close(plait.grad(f)(m), plait.grad(lambda a: a.sum(axis=1).prod())(m), rtol=1e-8)


def test_scan_errors():
    x = t(3)
    zero = plait.zeros_like(x[0])
    with pytest.raises(ShapeError, match="a scalar cannot be sliced"):
        plait.scan(lambda c, a: (c, a), zero, zero)
    with pytest.raises(ArgumentError, match="the carry changes its structure"):
        plait.scan(lambda c, a: ((c, c), a), zero, x)
    with pytest.raises(ShapeError, match=r"\[scan\]"):
        plait.scan(lambda c, a: (c[None], a), zero, x)
    with pytest.raises(DTypeError, match=r"\[scan\]"):
        plait.scan(lambda c, a: (c.float(), a), zero, x)
    with pytest.raises(ArgumentError, match="the number of steps is not known"):
        plait.scan(lambda c, a: (c, c), zero)
    with pytest.raises(ShapeError, match="does not have one slice for each step"):
        plait.scan(lambda c, a: (c, c), zero, (x, t(4)))
    with pytest.raises(ShapeError, match="does not have one slice for each step"):
        plait.scan(lambda c, a: (c, c), zero, x, length=4)
    with pytest.raises(TracingError, match="function given to scan"):
        plait.scan(lambda c, a: (c if a > 0 else -c, a), zero, x)


# --- compositions


WRAPPERS = {
    "jit": plait.jit,
    "recompute": plait.recompute,
    "cond": lambda f: lambda x: plait.cond(x.sum() > -100, f, lambda a: f(a) * 0, x),
    "vmap": lambda f: lambda x: plait.vmap(f)(x[None])[0],
    "scan": lambda f: lambda x: plait.scan(lambda c, a: (c, f(a)), x[0], x[None])[1][0],
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_all_compose(outer, inner):
    f = WRAPPERS[outer](WRAPPERS[inner](mixed))
    x, v = t(2), t(2, seed=1)
    value, gradient = plait.value_and_grad(f)(x)
    close(value, mixed(x))
    close(gradient, plait.grad(mixed)(x))
    close(plait.jvp(f, (x,), (v,))[1], (plait.grad(mixed)(x) * v).sum())
    close(plait.hessian(f)(x), plait.hessian(mixed)(x))
    inside = WRAPPERS[outer](plait.grad(WRAPPERS[inner](mixed)))
    if outer != "scan":
        close(inside(x), gradient)


# Each makes a scalar function of another; `look` is called with tensors on the way.
DERIVED = {
    "grad": lambda f, look: lambda x: (look(plait.grad(f)(x)).sin() * x).sum(),
    "jvp": lambda f, look: (
        lambda x: look(plait.jvp(f, (x,), (t(3, seed=1),))[1]) * x[0]
    ),
    "vjp": lambda f, look: lambda x: pulled(f, x, look).sum() + x[1],
    "jacobian": lambda f, look: (
        lambda x: (look(plait.jacobian(lambda x: f(x) * x)(x)) @ x).sum()
    ),
    "hessian": lambda f, look: lambda x: look(plait.hessian(f)(x)).sum() * x[2],
}


def pulled(f, x, look):
    value, pull = plait.vjp(f, x)
    (found,) = pull(look(value) * 0 + 1)
    return look(found)


@pytest.mark.parametrize("outer", DERIVED)
@pytest.mark.parametrize("inner", DERIVED)
def test_a_look_anywhere_in_nested_derivatives_changes_nothing(outer, inner):
    def composed(look):
        def f(x):
            y = look((x * x).sin())
            z = look((w @ y).tanh() * y + x)
            return look((z * z * x).sum())

        return DERIVED[outer](DERIVED[inner](f, look), look)

    def looked_at(x):
        x.numpy()
        return x

    def unseen(x):
        return x

    w, x = t(3, 3).requires_grad_(), t(3, seed=2).requires_grad_()
    expected = composed(unseen)(x)
    expected.backward()
    gradients = w.grad.numpy(), x.grad.numpy()
    w.grad = x.grad = None
    found = composed(looked_at)(x)
    found.backward()
    close(found, expected)
    close(w.grad, gradients[0])
    close(x.grad, gradients[1])
    # Without derivatives outside there are none in the result, but all inside.
    with plait.no_grad():
        found = composed(looked_at)(x)
    assert not found.requires_grad
    close(found, expected)
    w.requires_grad_(False)
    found = composed(looked_at)(x.detach())
    assert not found.requires_grad
    close(found, expected)
