"""Data sets, readers of the files they come in, and loaders of batches of tensors."""

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
from .vectors import WordVectors, word_vectors

__all__ = [
    "ArrayDataset",
    "BatchDataset",
    "ColourImages",
    "ConcatDataset",
    "Corpus",
    "Dataset",
    "Digits",
    "ImageFolder",
    "ListDataset",
    "Loader",
    "ResampleDataset",
    "ShuffleDataset",
    "SplitDataset",
    "Subset",
    "TextSplits",
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
