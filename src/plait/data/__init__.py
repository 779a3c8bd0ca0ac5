"""Data sets as NumPy arrays, and readers of the files they come in."""

from .digits import Digits, digits
from .idx import encode_idx, read_idx, write_idx
from .packages import cache_folder, fetch

__all__ = [
    "Digits",
    "cache_folder",
    "digits",
    "encode_idx",
    "fetch",
    "read_idx",
    "write_idx",
]
