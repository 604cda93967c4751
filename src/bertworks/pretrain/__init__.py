"""Pre-training: a corpus of ids becomes a model that fills masks and tells whether one text follows another.

In: a corpus directory and a recipe. Out: a run directory with a Hugging Face model in `best/` and `last/`.
Read first: run.py, then samples.py (segments.py, corpus/masking.py) and objective.py.
"""
