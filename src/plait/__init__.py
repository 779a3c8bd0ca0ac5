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
from .export.face import export
from .late import late_rooms
from .names import missing
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
    __array_namespace_info__,  # noqa: F401
    astype,
    can_cast,
    e,
    finfo,
    iinfo,
    inf,
    isdtype,
    nan,
    newaxis,
    pi,
    result_type,
)
from .tensor.jit import Jitted, jit, plan
from .tensor.methods import *  # noqa: F403
from .tensor.methods import FUNCTIONS as _functions
from .tensor.modes import (
    autocast,
    device,
    enable_grad,
    flush,
    get_num_threads,
    is_grad_enabled,
    no_grad,
    set_num_threads,
    trace_nonfinite,
)
from .tensor.plan import Plan
from .tensor.profile import Profile
from .tensor.profiling import profile
from .tensor.random import Generator, manual_seed, rand, randn, randperm
from .tensor.ranges import geomspace, logspace, tri, tril_indices, triu_indices
from .tensor.sets import (
    nonzero,
    repeat,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from .tensor.sound import (
    bartlett_window,
    blackman_window,
    hamming_window,
    hann_window,
    kaiser_window,
    mel_filters,
)
from .tensor.stages import Compiled, Lowered, Traced
from .tensor.tensor import HookHandle, Tensor
from .tensor.transforms import (
    cond,
    custom_vjp,
    grad,
    hessian,
    jacobian,
    jvp,
    recompute,
    scan,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)
from .tensor.updating import updating
from .trees import tree_map

# Written with the names above, as users write.
from . import nn, optim  # isort: skip

# Rooms that are imported when asked for: not every program needs what they bring.
_ROOMS = ("data", "distributions", "metrics", "models", "train")
__getattr__ = late_rooms("plait", _ROOMS, missing("plait"))

__version__ = "0.1.0.dev0"
__array_api_version__ = "2024.12"
__all__ = [  # noqa: F405
    *_functions,
    "arange",
    "ARRAY_API_VERSIONS",
    "asarray",
    "astype",
    "autocast",
    "bartlett_window",
    "bfloat16",
    "blackman_window",
    "bool",
    "bool_",
    "can_cast",
    "Compiled",
    "cond",
    "custom_vjp",
    "data",
    "device",
    "Device",
    "distributions",
    "DType",
    "e",
    "empty",
    "empty_like",
    "enable_grad",
    "errors",
    "export",
    "eye",
    "finfo",
    "float16",
    "float32",
    "float64",
    "flush",
    "geomspace",
    "get_num_threads",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "Generator",
    "grad",
    "hamming_window",
    "hann_window",
    "hessian",
    "HookHandle",
    "iinfo",
    "inf",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "isdtype",
    "jacobian",
    "jit",
    "Jitted",
    "jvp",
    "kaiser_window",
    "linalg",
    "linspace",
    "logspace",
    "Lowered",
    "manual_seed",
    "mel_filters",
    "metrics",
    "models",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "nonzero",
    "ones",
    "ones_like",
    "optim",
    "pi",
    "Plan",
    "plan",
    "Profile",
    "profile",
    "rand",
    "randn",
    "random",
    "randperm",
    "recompute",
    "repeat",
    "result_type",
    "scan",
    "set_num_threads",
    "settings",
    "Tensor",
    "tensor",
    "trace_nonfinite",
    "Traced",
    "train",
    "tree_map",
    "tri",
    "tril_indices",
    "triu_indices",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "updating",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "zeros",
    "zeros_like",
]
