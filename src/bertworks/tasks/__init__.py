"""Tasks: rows of a table become windows for the encoder, and its outputs become answers and metrics.

in          rows keyed by role (read/tables.py), a tokenizer, a head's outputs
out         windows with targets, losses, answers, metrics; rows to hold out
read first  task.py (what a task offers), then sentence.py (one text or a pair, to a class or a score)
"""
