"""Placeholder until the simplifier lands."""


def simplify(graph):
    """Return `graph`."""
    return graph
