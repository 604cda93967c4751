"""Text to ids: a vocabulary is learned or loaded, text is split into sentences and pieces.

in          str; a `vocab.txt`, or a folder with `tokenizer.json`
out         token ids as numpy arrays, offsets in code points, sentence borders
read first  tokenizer.py, then exact.py (the same rules written out in Python), learn.py, sentences.py

Nothing here loads torch.
"""
