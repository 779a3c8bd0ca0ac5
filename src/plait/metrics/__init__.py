"""Metrics: numbers gathered over batches, and looked at when all are in."""

from typing import TYPE_CHECKING

from ..names import missing
from .accuracy import Accuracy, BinaryAccuracy, ClassError
from .confusion import (
    BinaryIoU,
    CohenKappa,
    ConfusionMatrix,
    IoU,
    MatthewsCorrelation,
    MultiLabelConfusion,
)
from .counts import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    Specificity,
    TrueNegatives,
    TruePositives,
)
from .curves import (
    AUC,
    AveragePrecision,
    MeanAveragePrecision,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from .losses import (
    BinaryCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanOf,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PairwiseDistance,
    Perplexity,
    Poisson,
    RootMeanSquaredError,
    SquaredHinge,
)
from .metric import Mean, Metric, MovingAverage, Sum, Throughput, Time
from .ranking import NDCG, MeanReciprocalRank, PrecisionAtK, RecallAtK
from .regression import ConcordanceCorrelation, PearsonCorrelation, R2Score

__all__ = [
    "AUC",
    "Accuracy",
    "AveragePrecision",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalHinge",
    "ClassError",
    "CohenKappa",
    "ConcordanceCorrelation",
    "ConfusionMatrix",
    "CosineSimilarity",
    "CrossEntropy",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanAveragePrecision",
    "MeanOf",
    "MeanReciprocalRank",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "MovingAverage",
    "MultiLabelConfusion",
    "NDCG",
    "PairwiseDistance",
    "PearsonCorrelation",
    "Perplexity",
    "Poisson",
    "Precision",
    "PrecisionAtK",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtK",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "Specificity",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "Throughput",
    "Time",
    "TrueNegatives",
    "TruePositives",
]

if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing(__name__)
