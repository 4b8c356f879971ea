"""Other libraries beside ours, in the open: installed, never copied; measured in turn, in one run.

    python -m bench.peers --dataset ml_100k --seq-len 50,200

makes an environment for each peer once, lets both sides train, rank and recommend on the same data
in the order A B B A B A A B, and keeps ratios with their spread in results/peers/. Each side is a
process of its own (serve.py) that answers over standard input and output; how a number is taken is
written once, in contestant.py, for both.
"""
