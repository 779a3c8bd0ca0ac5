"""Loop IR: what it is, how it prints, what it means, and how it is checked."""
