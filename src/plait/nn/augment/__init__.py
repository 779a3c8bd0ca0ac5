"""Layers that change images at random, so that a net does not learn them by heart.

They stand at the beginning of a model, where they act in training mode, inside of a
compiled step, too; or in `Dataset.map`, where they take and give arrays. A `Loader`
that prepares batches ahead does so in a thread of its own: numbers that both threads
draw come in the order in which they ask for them.
"""

from .blur import RandomGaussianBlur
from .cropping import (
    CenterCrop,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resizing,
)
from .geometry import (
    RandomElasticTransform,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from .mixing import CutMix, MixUp
from .policies import AugMix, RandAugment
from .recolouring import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomInvert,
    RandomPosterization,
    RandomSaturation,
    RandomSharpness,
)
from .tones import (
    AutoContrast,
    ContrastLimitedAdaptiveHistogramEqualization,
    Equalization,
    Solarization,
)

__all__ = [
    "AugMix",
    "AutoContrast",
    "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "Solarization",
]
