"""Rows → model: split, train, evaluate, and a run directory that says what was done and what it is worth.

in          a table of rows (train, maybe dev and test), a starting checkpoint or preset, a recipe
out         RUN/best and RUN/last (model directories), result.json, metrics.jsonl, predictions, pictures, a model card
read first  recipe.py (every default), then run.py (the whole path, top to bottom)
"""
