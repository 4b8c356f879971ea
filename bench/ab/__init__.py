"""Two commits measured in turn on one machine: `python regression_report.py --ab BASE_REF`.

Both sides are run by one harness, that of the checkout in which the command is given; only models/
and data/ come from the commit under test. What the pairs mean is decided in report/.
"""
