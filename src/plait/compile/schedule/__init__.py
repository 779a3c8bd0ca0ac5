"""From a graph to kernels in order: what is computed together, when, and where."""
