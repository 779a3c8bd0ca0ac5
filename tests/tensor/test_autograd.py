"""`backward()`: against PyTorch, closed forms, and itself with flushes at any place."""

import gc
import weakref

import numpy as np
import pytest

import plait
from plait.errors import DTypeError, GradientError, ShapeError, TracingError

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")

A = np.array([0.5, -1.0, 2.0])


def leaf(values=A):
    return plait.tensor(values, dtype=plait.float64, requires_grad=True)


def close(x, y):
    np.testing.assert_allclose(x.numpy(), y, rtol=1e-12)


@pytest.fixture(params=[False, True], ids=["pending", "flushed"])
def pause(request):
    """Return a function that runs the trace, or does nothing."""
    return plait.flush if request.param else lambda: None


# --- accumulation


def test_gradients_accumulate(pause):
    x = leaf()
    for i in range(3):
        y = (x * x).sum()
        pause()
        y.backward()
        pause()
        close(x.grad, 2 * A * (i + 1))
    x.grad = None
    (x * 3).sum().backward()
    close(x.grad, [3, 3, 3])


def test_a_zeroed_gradient_is_added_to():
    x = leaf()
    (x * 3).sum().backward()
    x.grad.zero_()
    (x * 2).sum().backward()
    close(x.grad, [2, 2, 2])
    x.grad = plait.ones_like(x) * 10
    (x * 2).sum().backward()
    close(x.grad, [12, 12, 12])


def test_what_is_not_reached_has_no_gradient():
    x, y = leaf(), leaf()
    (x * 2).sum().backward()
    assert y.grad is None
    fixed = plait.tensor(A)
    (x * fixed).sum().backward()
    assert fixed.grad is None
    close(x.grad, 2 + A)


def test_an_independent_factor_has_zero_gradient():
    x, y = leaf(), leaf()
    (x * 0 + y.sign() * y).sum().backward()
    close(x.grad, np.zeros(3))


def test_a_leaf_is_used_again_and_again(pause):
    x = leaf()
    y = x
    for _ in range(4):
        y = y * x
        pause()
    y.sum().backward()
    close(x.grad, 5 * A**4)


def test_a_leaf_itself_is_differentiated(pause):
    x = leaf(3.0)
    pause()
    x.backward()
    assert x.grad.item() == 1
    x.backward()
    assert x.grad.item() == 2


def test_gradients_of_half_precision_keep_their_type():
    for dtype in (plait.float16, plait.bfloat16, plait.float32):
        x = plait.ones(3, dtype=dtype).requires_grad_()
        (x.double() * 2).sum().backward()
        assert x.grad.dtype is dtype


# --- retaining, and errors


def test_backward_twice_is_an_error(pause):
    x = leaf()
    y = plait.sin(x)
    z = y.sum()
    pause()
    z.backward()
    pause()
    with pytest.raises(GradientError, match="was used up by an earlier backward"):
        z.backward()
    with pytest.raises(GradientError, match="was used up by an earlier backward"):
        (y * 2).sum().backward()
    close(x.grad, np.cos(A))
    assert z.item() == pytest.approx(np.sin(A).sum())


def test_retain_graph(pause):
    x = leaf()
    z = plait.sin(x).sum()
    pause()
    for i in range(3):
        z.backward(retain_graph=True)
        pause()
        close(x.grad, (i + 1) * np.cos(A))
    z.backward()
    with pytest.raises(GradientError):
        z.backward()


def test_a_part_that_was_not_used_up(pause):
    x = leaf()
    a, b = plait.sin(x), plait.cos(x)
    pause()
    a.sum().backward()
    pause()
    b.sum().backward()
    close(x.grad, np.cos(A) - np.sin(A))


def test_errors_of_backward():
    x = leaf()
    with pytest.raises(
        GradientError, match="nothing that requires a gradient was used"
    ):
        plait.tensor(1.0).backward()
    with pytest.raises(GradientError, match=r"Got: a tensor of shape \(3,\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"Got: \(2,\) for a tensor of shape \(3,\)"):
        (x * 2).backward(plait.ones(2))
    with pytest.raises(DTypeError, match="only floating-point tensors have gradients"):
        plait.tensor([1, 2]).requires_grad_()
    with pytest.raises(GradientError, match="is changed in place"):
        x += 1
    assert x.grad is None
    close(x.detach(), A)


def test_gradient_argument(pause):
    x = leaf()
    y = plait.sin(x)
    pause()
    y.backward(gradient=plait.tensor([1.0, 2.0, 3.0]))
    close(x.grad, np.cos(A) * [1, 2, 3])


def test_inputs_argument(pause):
    x, w = leaf(), leaf()
    y = x * x * w
    pause()
    y.sum().backward(inputs=[w])
    assert x.grad is None
    close(w.grad, A**2)


def test_inputs_that_are_computed(pause):
    x = leaf()
    y = x * x
    z = (y * y).sum()
    pause()
    z.backward(inputs=[y])
    assert x.grad is None
    close(y.grad, 2 * A**2)


def test_create_graph(pause):
    x = leaf()
    (x**3).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    pause()
    assert first.requires_grad
    close(first.detach(), 3 * A**2)
    (first * x).sum().backward()
    close(x.grad, 9 * A**2)


def test_a_gradient_penalty(pause):
    w, x = leaf(), leaf()
    plait.tanh(w * x).sum().backward(create_graph=True)
    pause()
    penalty = (x.grad**2).sum()
    w.grad = None
    pause()
    penalty.backward()
    th = np.tanh(A * A)
    s = 1 - th**2
    close(w.grad, 2 * s * A * (s + A * -2 * th * s * A))


# --- modes


def test_no_grad_and_enable_grad(pause):
    x = leaf()
    with plait.no_grad():
        assert not plait.is_grad_enabled()
        y = x * 2
        pause()
        assert not y.requires_grad
        with plait.enable_grad():
            z = x * y
        assert not plait.is_grad_enabled()
    assert z.requires_grad
    pause()
    z.sum().backward()
    close(x.grad, 2 * A)


def test_no_grad_as_a_decorator():
    @plait.no_grad()
    def f(x):
        return x * 2

    for _ in range(2):
        assert not f(leaf()).requires_grad
    assert plait.is_grad_enabled()


def test_detach(pause):
    x = leaf()
    y = x * x
    z = y.detach()
    pause()
    assert y.requires_grad
    assert not z.requires_grad
    assert z.is_leaf
    (z * x).sum().backward()
    close(x.grad, A**2)
    y.detach_()
    assert not y.requires_grad


def test_a_detached_tensor_becomes_a_leaf(pause):
    x = leaf()
    y = (x * 2).detach()
    pause()
    y.requires_grad_()
    pause()
    z = (y * y * x).sum()
    pause()
    z.backward()
    close(x.grad, 4 * A**2)
    close(y.grad, 4 * A**2)


# --- hooks


def test_a_hook_of_a_leaf(pause):
    x = leaf()
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.numpy()))
    pause()
    (x * x).sum().backward()
    np.testing.assert_allclose(seen, [2 * A])
    handle.remove()
    handle.remove()
    (x * x).sum().backward()
    assert len(seen) == 1
    close(x.grad, 4 * A)


def test_a_hook_replaces_the_gradient(pause):
    x = leaf()
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    pause()
    (x * 3).sum().backward()
    close(x.grad, [31, 31, 31])


def test_a_hook_of_an_intermediate(pause):
    x = leaf()
    y = plait.sin(x)
    pause()
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.numpy()))
    y.register_hook(lambda g: g * 2)
    pause()
    z = (y * y).sum()
    pause()
    z.backward(retain_graph=True)
    np.testing.assert_allclose(seen, [2 * np.sin(A)])
    close(x.grad, 4 * np.sin(A) * np.cos(A))
    handle.remove()
    z.backward()
    assert len(seen) == 1


def test_a_hook_that_is_registered_late():
    x = leaf()
    y = x * x
    z = plait.sin(y).sum()
    plait.flush()
    z.backward(retain_graph=True)
    y.register_hook(lambda gradient: gradient * 3)
    z.backward()
    close(x.grad, 4 * 2 * A * np.cos(A**2))


def test_a_hook_stays_with_what_the_tensor_was(pause):
    x = leaf()
    y = x * 2
    seen = []
    y.register_hook(lambda gradient: seen.append(gradient.tolist()))
    z = y * 3
    pause()
    y *= 5
    pause()
    (y + z).sum().backward()
    assert seen == [[8.0, 8.0, 8.0]]
    close(x.grad, [16, 16, 16])


def test_a_leaf_with_several_values_has_one_gradient_for_its_hook():
    x = leaf()
    seen = []
    x.register_hook(lambda gradient: seen.append(gradient.numpy()))
    one = (x * x).sum()
    plait.flush()
    with plait.no_grad():
        x += 1
    other = (x * x).sum()
    plait.flush()
    (one + other).backward()
    assert len(seen) == 1
    np.testing.assert_allclose(seen[0], 2 * A + 2 * (A + 1))


def test_a_hook_that_looks(pause):
    x, seen = leaf(), []
    y, z = x * 2, x * 3
    y.register_hook(lambda gradient: seen.append(gradient.numpy()[0]))
    z.register_hook(lambda gradient: gradient * float(gradient.sum()))
    total = (y * z).sum()
    pause()
    total.backward()
    assert seen == [3 * A[0]]
    close(x.grad, 2 * 3 * A + 3 * 2 * A * (2 * A).sum())


def test_a_hook_in_a_recorded_function_is_an_error():
    def inner(x):
        y = x * 2
        y.register_hook(lambda gradient: None)
        return y

    with pytest.raises(TracingError, match=r"\[register_hook\] a hook is never called"):
        plait.vmap(inner)(leaf())


def test_hooks_in_a_chain(pause):
    x = leaf()
    order = []
    y = x * 2
    y.register_hook(lambda g: order.append("y"))
    z = y * 3
    z.register_hook(lambda g: order.append("z"))
    pause()
    z.sum().backward()
    assert order == ["z", "y"]
    close(x.grad, [6, 6, 6])


def test_a_post_accumulate_hook(pause):
    x = leaf()
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.numpy()))
    (x * 2).sum().backward()
    pause()
    (x * 2).sum().backward()
    np.testing.assert_allclose(seen, [[2] * 3, [4] * 3])
    handle.remove()
    (x * 2).sum().backward()
    assert len(seen) == 2


def test_retain_grad(pause):
    x = leaf()
    y = x * 2
    y.retain_grad()
    pause()
    (y * y).sum().backward()
    close(y.grad, 4 * A)
    close(x.grad, 8 * A)


def test_a_hook_of_another_shape_is_an_error():
    x = leaf()
    x.register_hook(lambda g: g[:2])
    with pytest.raises(ShapeError, match="a hook returned a gradient of another shape"):
        (x * 2).sum().backward()
    with pytest.raises(GradientError, match="this tensor requires no gradient"):
        plait.tensor(1.0).register_hook(print)


def test_a_hook_that_raises_leaves_all_usable():
    x = leaf()

    def hook(g):
        raise ValueError("from the hook")

    handle = (y := x * 2).register_hook(hook)
    with pytest.raises(ValueError, match="from the hook"):
        y.sum().backward()
    handle.remove()
    y.sum().backward()
    close(x.grad, [2, 2, 2])


# --- flushes at every place


def everything(flush_at):
    """Run a small program with all kinds of steps; flush before one or two of them."""
    place = [0]

    def here():
        if place[0] in flush_at:
            plait.flush()
        place[0] += 1

    w = leaf()
    v = leaf(A[::-1] * 0.5)
    hooked = []
    here()
    a = plait.tanh(w * v)
    here()
    b = a @ w
    here()
    a2 = a.detach() * w
    here()
    c = plait.exp(a2 * b)
    handle = c.register_hook(lambda g: hooked.append(g))
    here()
    c *= w
    here()
    c[0] = b
    here()
    d = (c * a).sum() + (v**2).mean()
    here()
    with plait.no_grad():
        e = d * 2
        here()
    d.backward(retain_graph=True, create_graph=True)
    handle.remove()
    here()
    penalty = (w.grad * v.grad).sum() + d * e
    here()
    w.grad = v.grad = None
    penalty.backward()
    here()
    with plait.no_grad():
        w -= 0.1 * w.grad
        here()
        v.copy_(v - v.grad * 0.1)
    here()
    w.grad, g = None, w.grad
    here()
    f = plait.sin(w) @ v
    here()
    f.backward()
    here()
    results = [a, b, c, d, e, penalty, g, w, v, w.grad, v.grad, f, *hooked]
    return [x.detach().numpy() for x in results], place[0]


EXPECTED, PLACES = everything(())


def check_everything(flush_at):
    """Compare but for the last bits: cotangents may be added in another order."""
    found, _ = everything(flush_at)
    for one, wanted in zip(found, EXPECTED, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("place", range(PLACES))
def test_a_flush_at_any_place_changes_nothing(place):
    for other in (place, 3, PLACES - 4):
        check_everything((place, other))


def test_a_flush_at_all_places_changes_nothing():
    for _ in range(2):
        check_everything(range(PLACES))


def first_order(place):
    w, v = leaf(), leaf(A[::-1] * 0.5)
    steps = [
        lambda x: x * w,
        plait.tanh,
        lambda x: x @ v * x,
        lambda x: plait.where(x > 0, x, -x),
        lambda x: x.exp() - x,
        lambda x: x.mean(),
    ]
    x = v * 1
    for i, step in enumerate(steps):
        if i in place:
            plait.flush()
        x = step(x)
    if len(steps) in place:
        plait.flush()
    x.backward()
    return x.item(), w.grad.tolist(), v.grad.tolist()


@pytest.mark.parametrize("place", range(7))
def test_first_derivatives_are_exactly_the_same_with_a_flush(place):
    assert first_order([place]) == first_order([])
    assert first_order([place, 3]) == first_order([])
    assert first_order(range(place)) == first_order([])


# --- in place


def test_updates_in_place_between(pause):
    w, x = leaf(), plait.tensor(A)
    y = w * x
    pause()
    z = y.sum()
    with plait.no_grad():
        w += 1
        x += 1
    pause()
    z.backward()
    close(w.grad, A)  # of the value that was used
    (w * x).sum().backward()
    close(w.grad, 2 * A + 1)
    close(w.detach(), A + 1)


def test_a_leaf_that_was_never_run_is_updated(pause):
    w = plait.zeros(3, dtype=plait.float64, requires_grad=True)
    z = plait.exp(w).sum()
    pause()
    with plait.no_grad():
        w += 1
    pause()
    z.backward()
    close(w.grad, np.ones(3))


def test_a_leaf_that_is_switched_off_or_on_after_its_use(pause):
    x, constant = leaf(), plait.tensor(A)
    z = (x * constant).sum()
    pause()
    x.requires_grad_(False)
    constant.requires_grad_()
    pause()
    z.backward()
    assert x.grad is None
    assert constant.grad is None


def test_what_is_the_same_is_yet_another_tensor(pause):
    w = plait.ones(3, dtype=plait.float64, requires_grad=True)
    same = [
        w.clone(),
        +w,
        w.to(plait.float64),
        w.reshape(3),
        w.as_subclass(plait.Tensor),
    ]
    pause()
    for y in same:
        assert not y.is_leaf
        assert y.requires_grad
        y.register_hook(lambda gradient: gradient * 2)
    (same[0] + w).sum().backward()
    close(w.grad, [3, 3, 3])
    for y in same[1:]:
        w.grad = None
        y.sum().backward()
        close(w.grad, [2, 2, 2])


def test_a_saved_value_is_changed_in_place(pause):
    w = leaf()
    y = w * 2
    z = (y * y).sum()
    pause()
    y += 1
    pause()
    z.backward()
    close(w.grad, 8 * A)
    close(y.detach(), 2 * A + 1)


def test_in_place_on_a_computed_tensor(pause):
    w = leaf()
    y = w * 1
    pause()
    y *= w
    y[1] = 5.0
    pause()
    y -= w
    y.sum().backward()
    close(w.grad, 2 * A * [1, 0, 1] - 1)


@needs_torch
def test_a_training_loop_like_torch():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(4, 8)), draw.normal(size=(8, 3))
    data = draw.normal(size=(10, 6, 4))
    classes = draw.integers(0, 3, (10, 6))

    def train(library, cross_entropy, looks):
        w = library.tensor(first, requires_grad=True)
        u = library.tensor(second, requires_grad=True)
        losses = []
        for i in range(10):
            x, y = library.tensor(data[i]), library.tensor(classes[i])
            h = library.tanh(x @ w)
            if looks and i % 2:
                float(h.sum())
            loss = cross_entropy(h @ u, y) + 0.1 * (w * w).sum()
            loss.backward()
            with library.no_grad():
                for p in (w, u):
                    p -= 0.1 * p.grad
                    p.grad.zero_()
            losses.append(loss.item())
        return losses, w.detach().numpy(), u.detach().numpy()

    theirs = train(torch, torch.nn.functional.cross_entropy, False)
    for looks in (False, True):
        ours = train(plait, plait.cross_entropy, looks)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10)


@needs_torch
def test_hooks_and_modes_like_torch():
    def work(library):
        x = library.tensor(A, requires_grad=True)
        y = library.sin(x)
        y.register_hook(lambda g: g * 3)
        y.retain_grad()
        with library.no_grad():
            fixed = y * 2
        z = (y * fixed + y.detach() * x).sum()
        z.backward(retain_graph=True)
        once = x.grad.numpy().copy()
        z.backward(inputs=[x])
        return [once, x.grad.numpy().copy(), y.grad.numpy().copy()]

    for one, other in zip(work(plait), work(torch), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


# --- memory


def memory(tensor):
    """Return a weak reference to the array that `tensor` holds."""
    return weakref.ref(tensor._value)


def test_backward_releases_what_it_used():
    x = leaf()
    y = plait.exp(x)
    z = plait.sin(y)
    loss = z.sum()
    plait.flush()
    held = memory(y)
    del y, z
    gc.collect()
    assert held() is not None  # the derivative needs it
    loss.backward(retain_graph=True)
    plait.flush()
    gc.collect()
    assert held() is not None
    loss.backward()
    plait.flush()
    gc.collect()
    assert held() is None
    assert loss.item() == pytest.approx(np.sin(np.exp(A)).sum())


def test_outputs_that_live_on_hold_nothing_that_is_used_up():
    x = leaf()
    y = plait.exp(x)
    out = plait.sin(y)
    loss = (out * out).sum()
    plait.flush()
    held = memory(y)
    del y
    loss.backward()
    plait.flush()
    assert held() is None
    close(out.detach(), np.sin(np.exp(A)))
    with pytest.raises(GradientError, match="used up"):
        out.sum().backward()


def test_what_is_not_used_up_is_still_held():
    x, w = leaf(), leaf()
    one, other = plait.exp(x).sum(), plait.exp(w).sum()
    both = one * other
    plait.flush()
    one.backward()
    close(x.grad, np.exp(A))
    other.backward(retain_graph=True)
    close(w.grad, np.exp(A))
    with pytest.raises(GradientError, match="used up"):
        both.backward()


def test_a_constant_made_of_what_is_used_up():
    x = leaf()
    y = x * x
    plait.flush()
    with plait.no_grad():
        constant = y * 2
    z = constant / x
    plait.flush()
    total = (z * x).sum()
    y.sum().backward()
    plait.flush()
    x.grad = None
    total.backward()
    close(x.grad, np.zeros(3))


def test_dropping_the_output_releases_all():
    x = leaf()
    y = plait.exp(x)
    loss = plait.sin(y).sum()
    plait.flush()
    held = memory(y)
    del y, loss
    gc.collect()
    assert held() is None


def test_nothing_is_kept_that_no_derivative_needs():
    x = leaf()
    y = x + 1
    z = (y * 2).sum()
    plait.flush()
    held = memory(y)
    del y
    gc.collect()
    assert held() is None
    z.backward()
    close(x.grad, [2, 2, 2])


def test_an_evaluation_loop_keeps_nothing():
    w = plait.tensor(np.ones((4, 4)), requires_grad=True)
    held = []
    for i in range(5):
        x = plait.tensor(np.full((2, 4), float(i)))
        out = plait.tanh(x @ w)  # with derivatives on
        assert out.sum().item() == pytest.approx(8 * np.tanh(4 * i))
        held.append((memory(x), memory(out)))
    del x, out
    gc.collect()
    plait.flush()
    assert all(ref() is None for pair in held for ref in pair)


def test_a_training_loop_keeps_nothing():
    w = plait.tensor(np.ones((4, 4)), requires_grad=True)
    held = []
    for i in range(5):
        x = plait.tensor(np.full((2, 4), float(i)))
        held.append(memory(x))
        loss = plait.tanh(x @ w).sum()
        loss.backward()
        with plait.no_grad():
            w -= 0.01 * w.grad
        w.grad = None
        loss.item()
        held.append(memory(w))
    del x, loss
    plait.flush()
    gc.collect()
    alive = sum(ref() is not None for ref in held)
    assert alive == 1  # the last w


def test_without_cycles_memory_goes_at_once():
    gc.collect()
    gc.disable()
    try:
        x = leaf()
        y = plait.exp(x)
        z = (y * x).sum()
        plait.flush()
        held = memory(y)
        del y, z
        assert held() is None
    finally:
        gc.enable()


# --- places that are forgotten


def pending_leaf(*shape):
    """Return a place that has no value yet."""
    return plait.random.normal(shape=shape or (3,)).requires_grad_()


def test_a_forgotten_place_is_not_computed():
    x = pending_leaf(1 << 24, 1 << 24)  # there is no such memory
    y = x * 2
    del x, y
    assert plait.ones(3).sum().item() == 3


def test_gradients_pass_by_a_forgotten_place(pause):
    x, y = leaf(), pending_leaf()
    kept = y.detach()
    loss = (x * y).sum()
    del y
    pause()
    loss.backward()
    close(x.grad, kept.numpy())


@pytest.mark.parametrize("kind", ["hook", "post_accumulate_grad_hook"])
def test_hooks_of_a_forgotten_place_are_called(pause, kind):
    y, seen = pending_leaf(), []
    getattr(y, f"register_{kind}")(lambda found: seen.append(found.shape))
    loss = (y * 2).sum()
    del y
    pause()
    loss.backward()
    assert seen == [(3,)]
