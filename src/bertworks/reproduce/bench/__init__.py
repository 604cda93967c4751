"""Speed against others on this machine, in turns: `bertworks bench NAME`.

In: the name of a benchmark and what it reads. Out: medians, minima, maxima and paired ratios of the contenders.
Read first: rounds.py, then pretrain.py. Needs the extra `bench`.
"""
