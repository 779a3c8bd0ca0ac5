"""Data sets, readers of the files they come in, and loaders of batches of tensors."""

from typing import TYPE_CHECKING

from ..names import missing
from .cifar import ColourImages, cifar, emoji
from .corpora import Corpus, corpus
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
from .features import Category, Feature, FeatureSpace, Hashed, Numeric, Ranges
from .idx import encode_idx, read_idx, write_idx
from .images import (
    ImageFolder,
    as_floats,
    photograph,
    read_image,
    resize_image,
    write_image,
)
from .loader import Loader
from .packages import cache_folder, fetch
from .pickles import read_pickle
from .tables import Texts, TextSplits, movie_reviews, read_texts
from .text import Vocabulary, Windows, padded, split_text, tokenize
from .vectorization import TextVectorization, hash_tokens
from .vectors import WordVectors, word_vectors

__all__ = [
    "ArrayDataset",
    "BatchDataset",
    "Category",
    "ColourImages",
    "ConcatDataset",
    "Corpus",
    "Dataset",
    "Digits",
    "Feature",
    "FeatureSpace",
    "Hashed",
    "ImageFolder",
    "ListDataset",
    "Loader",
    "Numeric",
    "Ranges",
    "ResampleDataset",
    "ShuffleDataset",
    "SplitDataset",
    "Subset",
    "TextSplits",
    "TextVectorization",
    "Texts",
    "TransformDataset",
    "Vocabulary",
    "Windows",
    "WordVectors",
    "as_dataset",
    "as_floats",
    "cache_folder",
    "cifar",
    "collate",
    "corpus",
    "digits",
    "emoji",
    "encode_idx",
    "fetch",
    "hash_tokens",
    "movie_reviews",
    "padded",
    "photograph",
    "read_idx",
    "read_image",
    "read_pickle",
    "read_texts",
    "resize_image",
    "split_text",
    "tokenize",
    "word_vectors",
    "write_idx",
    "write_image",
]

if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing(__name__)
