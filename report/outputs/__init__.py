"""Each file turns the one Report into one form; none computes a number of its own."""
