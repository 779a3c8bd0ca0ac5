"""From groups in order to the instructions of a program, and where every value lies."""
