"""From groups of nodes to kernels in Loop IR."""
