"""Documents to shards of token ids on disk, and back as arrays.

in          documents (`read.documents`), a vocabulary
out         a folder: token ids, sentence and document borders, word starts, a manifest (docs/formats.md)
read first  build.py, then open.py; masking.py stands apart: which tokens are hidden, for pre-training and fine-tuning

Nothing here loads torch.
"""
