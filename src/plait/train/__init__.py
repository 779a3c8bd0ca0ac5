"""Training: an engine with hooks, meters, logs, checkpoints, and `fit` for all."""

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .engine import EVENTS, Engine, Hook, State
from .fit import History, fit
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
from .schedule import RateSchedule, cosine_decay, linear_decay

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
    "cosine_decay",
    "fit",
    "linear_decay",
    "load_checkpoint",
    "save_checkpoint",
]
