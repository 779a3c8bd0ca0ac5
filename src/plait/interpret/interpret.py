"""Where the interpreter used to be; see `ir/evaluate.py`."""

from ..ir.evaluate import Interpreted, interpret

__all__ = ["Interpreted", "interpret"]
