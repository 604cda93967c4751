"""The network: rows of ids become hidden states, and hidden states become logits.

in          a BertConfig and Rows (several sequences packed in one row, or one a row)
out         hidden states (R, L, E), logits of the heads, losses with their gradients; Hugging Face directories
read first  config.py, layout.py, embeddings.py, attention.py, encoder.py, heads.py, bert.py; then pretrained.py

Letters of this room: R rows, L row length, B sequences, T real tokens, E hidden size, H heads, D head size,
F feed-forward size, V vocabulary, C classes, P predicted positions.
"""
