"""What pre-training minimises: masked tokens and, with pairs, next sentence, each a sum over its own count."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from bertworks.engine.dropout import PooledDropout
from bertworks.model.bert import BertForPreTraining
from bertworks.pretrain.batches import MicroBatch


def target_counts(batches: Sequence[MicroBatch]) -> dict[str, float]:
    """Targets of each loss in this rank's micro-batches: masked tokens, and pairs."""
    pairs = [batch.next_sentence_labels for batch in batches]
    return {
        "mlm_loss": sum(len(batch.masked_labels) for batch in batches),
        "nsp_loss": sum(0 if labels is None else len(labels) for labels in pairs),
    }


class Objective:
    """From a micro-batch to its scaled losses; called by the engine's `train_step`.

    dropout  source of masks, None to switch dropout off
    direct   the gradient of the word table goes straight into its `.grad` (the training loop's way)
    """

    def __init__(self, model: BertForPreTraining, dropout: PooledDropout | None, *, direct: bool) -> None:
        self.model, self.dropout, self.direct = model, dropout, direct
        self.step = 0

    def __call__(self, batch: MicroBatch, scales: Mapping[str, float]) -> dict[str, Tensor]:
        """Losses of one micro-batch, each its sum times its scale; only their total carries the gradient."""
        dropout = None if self.dropout is None else self.dropout.at(self.step, batch.first_row)
        found = self.model.losses(
            batch.rows,
            batch.masked_positions,
            batch.masked_labels,
            batch.next_sentence_labels,
            masked_scale=scales["mlm_loss"],
            sentence_scale=scales["nsp_loss"],
            dropout=dropout,
            direct=self.direct,
        )
        sentence = found.sentence_loss_sum * scales["nsp_loss"]
        return {"mlm_loss": found.loss - sentence, "nsp_loss": sentence}
