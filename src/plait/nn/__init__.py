"""Layers, and what they are made of."""

from .module import Module
from .parameter import Buffer, Parameter

__all__ = ["Module", "Buffer", "Parameter"]
