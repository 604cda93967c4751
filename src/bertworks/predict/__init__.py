"""Model → answers: windows sorted by length, small padded batches, results in the order of the input.

in          a model directory and rows (any task), or plain texts (embeddings, masked tokens)
out         one answer a row, one vector a text, or the likeliest tokens of a mask
read first  run.py, then batches.py
"""
