"""Examples that `plait train` runs by name."""
