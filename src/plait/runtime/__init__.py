"""Runs compiled programs on this machine's processors.

Knows nothing of how programs are made. Read first: `runner`, then `machine`.
"""

from .host import unavailable
from .pool import get_num_threads, set_num_threads
from .runner import Runner

__all__ = ["Runner", "get_num_threads", "set_num_threads", "unavailable"]
