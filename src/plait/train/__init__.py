"""Training: an engine with hooks, meters, logs, checkpoints, and `fit` for all."""

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

__all__ = [
    "EVENTS",
    "Average",
    "AverageValueMeter",
    "CSVLog",
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
    "State",
    "ThroughputMeter",
    "TimeMeter",
    "fit",
]
