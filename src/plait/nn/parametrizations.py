"""Weights of a length, of a largest singular value, or orthogonal.

Read first: `weight_norm`, `spectral_norm`, `orthogonal`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ..arguments import NotNegative, checked
from ..errors import ArgumentError, ShapeError
from .linear import axis_number
from .module import Module
from .parameter import Buffer
from .parametrize import register_parametrization

_MAPS = ("matrix_exp", "cayley", "householder")


class _WeightNorm(Module):
    """g * v / |v|, where the norm is over all axes but one."""

    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._norm(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return length and direction of a weight."""
        return self._norm(weight), weight

    def _norm(self, v: Tensor) -> Tensor:
        if self.dim is None:
            return plait.sqrt(plait.sum(v * v))
        kept = self.dim % v.ndim
        axes = tuple(i for i in range(v.ndim) if i != kept)
        return plait.sqrt(plait.sum(v * v, axis=axes, keepdims=True))


@checked
def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Compute a weight from its lengths and its direction, which are trained.

    Formula: weight = g * v / norm(v), with a norm for each place along `dim`.

    Args:
        module: the layer; it is changed.
        name: the weight.
        dim: the axis along which there is a length for each place. None: one for all.

    Returns:
        The layer, with `parametrizations.weight.original0`, g, and `original1`, v.

    Raises:
        AxisError: there is no such axis.

    Source: T. Salimans, D. Kingma, "Weight normalization: a simple reparameterization
    to accelerate training of deep neural networks", 2016.
    """
    weight = getattr(module, name, None)
    if isinstance(weight, Tensor) and dim is not None:
        axis_number("weight_norm", dim, weight.shape)
    return register_parametrization(module, name, _WeightNorm(dim))


def _unit(x: Tensor, eps: float) -> Tensor:
    return plait.normalize(x, axis=0, eps=eps)


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, found by the power method."""

    _u: Buffer
    _v: Buffer

    def __init__(
        self, weight: Tensor, n_power_iterations: int, dim: int, eps: NotNegative
    ) -> None:
        super().__init__()
        self.dim = dim % weight.ndim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:
            matrix = self._matrix(weight).detach()
            u, v = (_unit(plait.randn(n), eps).to(weight.dtype) for n in matrix.shape)
            self._u = Buffer(u)
            self._v = Buffer(v)
            # Begin with vectors that are about right.
            with plait.no_grad():
                self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        moved: Tensor = plait.moveaxis(weight, self.dim, 0)
        return moved.reshape(moved.shape[0], -1)

    def _iterate(self, matrix: Tensor, turns: int) -> None:
        u, v = self._u.detach(), self._v.detach()
        for _ in range(turns):
            u = _unit(plait.matmul(matrix, v), self.eps)
            v = _unit(plait.matmul(matrix.T, u), self.eps)
        # A tensor that is assigned to a buffer becomes one.
        self._u, self._v = Buffer(u), Buffer(v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return _unit(weight, self.eps)
        matrix = self._matrix(weight)
        if self.training:
            with plait.no_grad():
                self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.detach(), self._v.detach()
        return weight / plait.vecdot(u, plait.matmul(matrix, v))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weight: it is divided when it is used."""
        return weight


@checked
def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, as a matrix.

    The singular vectors are kept, and improved by the power method at each use in
    training.

    Args:
        module: the layer; it is changed.
        name: the weight.
        n_power_iterations: turns of the power method at each use.
        eps: the least length to divide by.
        dim: the axis that becomes the matrix's rows; all others are its columns.
            Default: 1 for transposed convolutions, else 0.

    Returns:
        The layer, with `parametrizations.weight.original` and buffers `0._u`, `0._v`.

    Raises:
        AxisError: there is no such axis.
        ArgumentError: there is no turn.

    Source: T. Miyato et al., "Spectral normalization for generative adversarial
    networks", 2018.
    """
    if n_power_iterations < 1:
        raise ArgumentError(
            "[spectral_norm] n_power_iterations must be 1 or more",
            got=repr(n_power_iterations),
        )
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        return register_parametrization(module, name, Module())  # says what is there
    axis_number("spectral_norm", dim, weight.shape)
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )


class _Orthogonal(Module):
    """Matrices with orthonormal columns, or rows where there are fewer of these."""

    base: Buffer | None

    def __init__(self, kind: str, use_trivialization: bool) -> None:
        super().__init__()
        self.kind = kind
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = plait.matrix_transpose(x) if wide else x
        q = _reflections(x) if self.kind == "householder" else self._rotated(x)
        if self.use_trivialization and self.base is not None:
            q = plait.matmul(self.base, q)
        return plait.matrix_transpose(q) if wide else q

    def _rotated(self, x: Tensor) -> Tensor:
        n, k = x.shape[-2:]
        x = plait.tril(x)
        if n != k:
            x = plait.pad(x, (*[(0, 0)] * (x.ndim - 1), (0, n - k)))
        skew = x - plait.matrix_transpose(x)
        if self.kind == "matrix_exp":
            q = plait.linalg.matrix_exp(skew)
        else:
            one = plait.eye(n, dtype=x.dtype)
            q = plait.linalg.solve(one - skew / 2, one + skew / 2)
        return q[..., :k]

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return what gives the orthogonal matrix next to `weight`.

        With a trivialization it becomes the base, which what is trained turns.
        """
        if not self.use_trivialization:
            raise ArgumentError(
                "[orthogonal] a weight can only be assigned with use_trivialization",
                fix="pass use_trivialization=True",
            )
        wide = weight.shape[-2] < weight.shape[-1]
        q = plait.matrix_transpose(weight) if wide else weight
        n, k = q.shape[-2:]
        if n != k:
            rest = plait.randn(*q.shape[:-1], n - k).to(q.dtype)
            q = plait.concat([q, rest], axis=-1)
        self.base = Buffer(_nearby(q))
        # What gives the identity: -1 on the diagonal is how reflections say so.
        rows, columns = weight.shape[-2:]
        one = -plait.eye(rows, columns, dtype=weight.dtype)
        return plait.broadcast_to(one, weight.shape)


def _nearby(x: Tensor) -> Tensor:
    """Return an orthogonal matrix that `x` is if it is one already."""
    q, r = plait.linalg.qr(x)
    signs = plait.where(plait.linalg.diagonal(r) < 0, -1.0, 1.0).to(x.dtype)
    return q * plait.expand_dims(signs, axis=-2)


def _reflections(x: Tensor) -> Tensor:
    """Return the product of the reflections at the columns below the diagonal, with
    the signs of the diagonal.

    Formula: H_1 ... H_k = I - V inv(T) V', T = triu(V' V, 1) + diag(1 / tau), tau =
    2 / |v|^2.

    Source: C. Puglisi, "Modification of the Householder method based on the compact WY
    representation", 1992.
    """
    n, k = x.shape[-2:]
    below = plait.tril(x, k=-1)
    one = plait.eye(n, k, dtype=x.dtype)
    v = below + one
    inner = plait.matmul(plait.matrix_transpose(v), v)
    middle = plait.triu(inner) - plait.eye(k, dtype=x.dtype) * inner / 2
    upper = plait.matrix_transpose(v[..., :k, :])
    q = one - plait.matmul(v, plait.linalg.solve(middle, upper))
    signs = plait.linalg.diagonal(x).detach()
    return q * plait.expand_dims(plait.trunc(signs), axis=-2)


@checked
def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a weight orthogonal: its columns are orthonormal, or its rows where there
    are fewer of these.

    Args:
        module: the layer; it is changed.
        name: the weight, with two axes or more; the last two are matrices.
        orthogonal_map: how an orthogonal matrix is made of any: "matrix_exp" of what is
            skew, "cayley", (I - A / 2)^-1 (I + A / 2), or "householder", reflections.
            Default: "matrix_exp" for square matrices, else "householder".
        use_trivialization: keep a base that is multiplied by it, so that training
            begins with the weight's own value, made orthogonal.

    Returns:
        The layer, with `parametrizations.weight.original` and a buffer `0.base`.

    Raises:
        ArgumentError: there is no such map.
        ShapeError: the weight has less than two axes.

    Source: M. Lezcano-Casado, "Trivializations for gradient-based optimization on
    manifolds", 2019.
    """
    weight = getattr(module, name, None)
    if isinstance(weight, Tensor) and weight.ndim < 2:
        raise ShapeError(
            "[orthogonal] the weight is no matrix", got=f"shape {weight.shape}"
        )
    if orthogonal_map is None:
        square = isinstance(weight, Tensor) and weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _MAPS:
        raise ArgumentError(
            "[orthogonal] there is no such map",
            got=repr(orthogonal_map),
            expected=" or ".join(repr(x) for x in _MAPS),
        )
    one = _Orthogonal(orthogonal_map, use_trivialization)
    return register_parametrization(module, name, one)
