"""Exports: models and training steps as folders that web pages, Node or C programs use.

The way of an export: `face` says what can be asked, `example` what functions take,
`graphs` records them, `layout` gives every tensor its place in memory, `build` has the
compiler make modules of them, `weights` and `folder` write the files, and `page` shows
what they do.
"""

from .face import export, load_state

__all__ = ["export", "load_state"]
