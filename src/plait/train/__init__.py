"""Training: an engine with hooks, meters, logs, checkpoints, and `fit` for all.

`TrainStep` is a step by itself, which can be exported.
"""

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .engine import EVENTS, Engine, Hook, State
from .fit import History, evaluate, fit
from .log import ConsoleLog, CSVLog, JSONLinesLog
from .measure import Clock, Evaluate, Measure
from .meters import (
    Average,
    AverageValueMeter,
    ClassErrorMeter,
    ConfusionMeter,
    Meter,
    ThroughputMeter,
    TimeMeter,
)
from .schedule import RateSchedule
from .step import TrainStep

__all__ = [
    "EVENTS",
    "Average",
    "AverageValueMeter",
    "CSVLog",
    "Checkpoint",
    "ClassErrorMeter",
    "Clock",
    "ConfusionMeter",
    "ConsoleLog",
    "Engine",
    "Evaluate",
    "History",
    "Hook",
    "JSONLinesLog",
    "Measure",
    "Meter",
    "RateSchedule",
    "State",
    "ThroughputMeter",
    "TimeMeter",
    "TrainStep",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
]
