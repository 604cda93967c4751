"""Documents to shards of token ids on disk, and back as arrays.

in          documents (`read.documents`), a vocabulary
out         a folder: token ids, sentence and document borders, word starts, a manifest (docs/formats.md)
read first  build.py, then open.py

Nothing here loads torch.
"""
