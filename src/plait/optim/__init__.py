"""Optimizers, schedules of their rates, limits on gradients, and loss scaling."""

from typing import TYPE_CHECKING

from ..late import late_names
from ..names import missing
from .adam import Adam, AdamW
from .clip import (
    adaptive_clip_grad_,
    centralize_grad_,
    clip_grad_norm_,
    clip_grad_value_,
)
from .optimizer import Optimizer
from .schedule import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    InverseSquareRootLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    PiecewiseConstantLR,
    PolynomialLR,
    SigmoidLR,
    StepLR,
    cosine_decay,
    linear_decay,
)
from .sgd import SGD

# Imported when they are asked for: not every program needs what they bring.
_LATE = (
    *("accumulate", "adabelief", "adadelta", "adafactor", "adagrad", "adamax"),
    *("adan", "ademamix", "adopt", "asgd", "average", "chains", "cycles"),
    *("fromage", "ftml", "ftrl", "lamb", "lbfgs", "lion", "lookahead"),
    *("madgrad", "multi", "muon", "nadam", "novograd", "plateau", "radam"),
    *("rmsprop", "rprop", "sam", "scaler", "schedule_free", "sm3"),
    *("sparse_adam", "yogi"),
)

if TYPE_CHECKING:
    from .accumulate import Accumulate
    from .adabelief import AdaBelief
    from .adadelta import Adadelta
    from .adafactor import Adafactor
    from .adagrad import Adagrad
    from .adamax import Adamax
    from .adan import Adan
    from .ademamix import AdEMAMix
    from .adopt import ADOPT
    from .asgd import ASGD
    from .average import AveragedModel, update_bn
    from .chains import ChainedScheduler, SequentialLR
    from .cycles import SWALR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
    from .fromage import Fromage
    from .ftml import FTML
    from .ftrl import Ftrl
    from .lamb import LAMB, LARS
    from .lbfgs import LBFGS
    from .lion import Lion, Signum
    from .lookahead import Lookahead
    from .madgrad import MADGRAD
    from .multi import MultiOptimizer
    from .muon import Muon
    from .nadam import NAdam
    from .novograd import NovoGrad
    from .plateau import ReduceLROnPlateau
    from .radam import RAdam
    from .rmsprop import RMSprop
    from .rprop import Rprop
    from .sam import SAM
    from .scaler import GradScaler
    from .schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
    from .sm3 import SM3
    from .sparse_adam import SparseAdam
    from .yogi import Yogi
else:
    __getattr__, __dir__ = late_names(__name__, _LATE, missing(__name__))

__all__ = [
    "Accumulate",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "AdEMAMix",
    "AveragedModel",
    "ADOPT",
    "ASGD",
    "ChainedScheduler",
    "SequentialLR",
    "adaptive_clip_grad_",
    "centralize_grad_",
    "clip_grad_norm_",
    "clip_grad_value_",
    "CyclicLR",
    "OneCycleLR",
    "SWALR",
    "Fromage",
    "FTML",
    "Ftrl",
    "LAMB",
    "LARS",
    "LBFGS",
    "Lion",
    "Signum",
    "Lookahead",
    "MADGRAD",
    "MultiOptimizer",
    "Muon",
    "NAdam",
    "NovoGrad",
    "Optimizer",
    "ReduceLROnPlateau",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SAM",
    "GradScaler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "InverseSquareRootLR",
    "InverseTimeLR",
    "LambdaLR",
    "LinearLR",
    "LRScheduler",
    "MultiplicativeLR",
    "MultiStepLR",
    "PiecewiseConstantLR",
    "PolynomialLR",
    "SigmoidLR",
    "StepLR",
    "cosine_decay",
    "linear_decay",
    "update_bn",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SGD",
    "SM3",
    "SparseAdam",
    "Yogi",
]
