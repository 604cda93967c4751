"""BERT as one tool: raw text, vocabulary, corpus, pre-training, fine-tuning, answers."""

__version__ = "0.1.0"
