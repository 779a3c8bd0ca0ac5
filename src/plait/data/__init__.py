"""Data sets, readers of the files they come in, and loaders of batches of tensors."""

from .dataset import (
    ArrayDataset,
    BatchDataset,
    ConcatDataset,
    Dataset,
    ListDataset,
    ResampleDataset,
    ShuffleDataset,
    SplitDataset,
    Subset,
    TransformDataset,
    as_dataset,
    collate,
)
from .digits import Digits, digits
from .idx import encode_idx, read_idx, write_idx
from .loader import Loader
from .packages import cache_folder, fetch

__all__ = [
    "ArrayDataset",
    "BatchDataset",
    "ConcatDataset",
    "Dataset",
    "Digits",
    "ListDataset",
    "Loader",
    "ResampleDataset",
    "ShuffleDataset",
    "SplitDataset",
    "Subset",
    "TransformDataset",
    "as_dataset",
    "cache_folder",
    "collate",
    "digits",
    "encode_idx",
    "fetch",
    "read_idx",
    "write_idx",
]
