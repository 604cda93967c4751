"""What the loss of questions is made of, the plain one and those of finetune/training_loss.py.

Letters: W windows, T tokens of the longest, P tokens of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def span_log_probs(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of start and end over the tokens of each window, in float32.

    logits, targets  (P, 2) and (P, 3), as `SpanTask.loss_sum` takes them
    Returns those of all tokens (W, T, 2), -inf behind a window's end; of the right ones (W, 2); and the place in P of
    each window's first token (W,).
    """
    import torch

    counts = torch.bincount(targets[:, 0])
    lengths = counts.tolist()
    per_window = list(torch.split(logits.float(), lengths))
    padded = torch.nn.utils.rnn.pad_sequence(per_window, batch_first=True, padding_value=-torch.inf)
    log_probs = torch.log_softmax(padded, 1)  # (W, T, 2)
    marks = torch.nn.utils.rnn.pad_sequence(list(torch.split(targets[:, 1:], lengths)), batch_first=True)
    chosen = log_probs.gather(1, marks.argmax(1, keepdim=True)).squeeze(1)  # (W, 2)
    return log_probs, chosen, counts.cumsum(0) - counts
