"""How sure a number is: spread over seeds, paired differences, tests over examples.

in          metrics of seeds, answers of two models on the same rows, result.json files
out         means with intervals, differences with intervals and p-values
read first  summary.py, then paired.py

Nothing here loads torch.
"""
