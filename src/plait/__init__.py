"""Plait: a deep-learning framework in Python.

Tensors with NumPy's feel and derivatives, recorded as they are written and run as whole
programs. Functions are named as in the Array API standard, layers as in PyTorch,
transforms as in JAX.
"""

from . import errors
from .dtypes import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .dtypes import bool_ as bool
from .settings import settings
from .tensor import linalg, random
from .tensor.create import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .tensor.device import Device
from .tensor.inspection import (
    ARRAY_API_VERSIONS,
    __array_namespace_info__,
    astype,
    can_cast,
    finfo,
    iinfo,
    isdtype,
    result_type,
)
from .tensor.methods import *  # noqa: F403
from .tensor.methods import __all__ as _functions
from .tensor.modes import enable_grad, flush, is_grad_enabled, no_grad
from .tensor.random import Generator, manual_seed, rand, randn, randperm
from .tensor.sets import (
    nonzero,
    repeat,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from .tensor.tensor import Tensor
from .tensor.transforms import (
    cond,
    custom_vjp,
    grad,
    hessian,
    jacobian,
    jit,
    jvp,
    recompute,
    scan,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)

__version__ = "0.1.0.dev0"
__array_api_version__ = "2024.12"

e = 2.718281828459045
inf = float("inf")
nan = float("nan")
newaxis = None
pi = 3.141592653589793
