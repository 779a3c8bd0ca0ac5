"""Training: an engine with hooks, metrics, logs, checkpoints, and `fit` for all.

`TrainStep` is a step by itself, which can be exported.
"""

from typing import TYPE_CHECKING

from ..names import missing
from .average import WeightAverage
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .constrain import Constrain
from .engine import EVENTS, Engine, Hook, State
from .fit import History, evaluate, fit, predict
from .log import ConsoleLog, CSVLog, JSONLinesLog
from .measure import Clock, Evaluate, Measure
from .schedule import RateSchedule
from .step import TrainStep
from .stop import EarlyStopping

__all__ = [
    "EVENTS",
    "CSVLog",
    "Checkpoint",
    "Clock",
    "ConsoleLog",
    "Constrain",
    "EarlyStopping",
    "Engine",
    "Evaluate",
    "History",
    "Hook",
    "JSONLinesLog",
    "Measure",
    "RateSchedule",
    "State",
    "TrainStep",
    "WeightAverage",
    "evaluate",
    "fit",
    "load_checkpoint",
    "predict",
    "save_checkpoint",
]

if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing(__name__)
