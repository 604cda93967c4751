"""Tasks: rows of a table become windows for the encoder, and its outputs become answers and metrics.

In: rows keyed by role (`read.tables`), a tokenizer. Out: windows, losses, answers, metrics.
Read first: `task.py` (what a task offers), then `sentence.py` (one text or a pair, to a class or a score).
"""
