"""The compiler: from a graph to kernels in machine code. Runs nothing."""
