"""Exports: models and training steps as folders that web pages, Node or C programs use.

The way of an export: `face` says what can be asked, `graphs` records the functions,
`layout` gives every tensor its place in memory, `build` has the compiler make modules
of them, `weights` and `folder` write the files, `page` shows them.
"""

from .face import export, load_state

__all__ = ["export", "load_state"]
