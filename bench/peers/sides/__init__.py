"""One side a file: what a library has to be told to train, rank and recommend. Each ends in
`SIDE = ...` and runs in the environment that roster.py names.
"""
