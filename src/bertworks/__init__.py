"""BERT as one tool: raw text, vocabulary, corpus, pre-training, fine-tuning, answers.

in          text, or rows with labels
out         a model that answers, and how sure its numbers are
read first  docs/walk.md, then api.py

Importing this loads no torch; `load`, `finetune` and the others load what they need when they are first asked for.
"""

import logging

__version__ = "0.1.0"

logging.getLogger("bertworks").addHandler(logging.NullHandler())  # the API is silent unless the program listens
