"""From programs to one module: kernels, and a native function for each program."""
