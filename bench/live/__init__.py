"""`pytest bench/ --live`: the run as a page on this machine, 127.0.0.1 only, while it goes on.

The run tells the board when a cell begins and ends; whoever looks is told by the board. Between
two cells nothing here wakes but for a request, so that nothing is taken from what is measured.
"""
