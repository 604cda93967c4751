"""Whole networks: the encoder with the heads of pre-training, and with a head for each kind of task.

Letters: R rows, L row length, B sequences, V vocabulary, C classes, P predicted positions or tokens read.
"""

from typing import ClassVar, NamedTuple, Self, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout
from bertworks.model.embedding import BertForEmbedding
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, MaskedTokenHead, NextSentenceHead, Pooler, SpanHead
from bertworks.model.initialise import seeded
from bertworks.model.last_layer import states_at
from bertworks.model.layout import Rows
from bertworks.model.shaped import BertForShape


class PreTrainingLosses(NamedTuple):
    """The losses of one batch.

    loss              () masked_scale * masked_loss_sum + sentence_scale * sentence_loss_sum, to be differentiated
    masked_loss_sum   () nats over the P masked positions, without gradient
    sentence_loss_sum () nats over the B sequences, without gradient; 0 where there are no labels
    masked_correct, sentence_correct  () int64, or None unless asked for
    """

    loss: Tensor
    masked_loss_sum: Tensor
    sentence_loss_sum: Tensor
    masked_correct: Tensor | None
    sentence_correct: Tensor | None


class BertForPreTraining(nn.Module):
    """Masked tokens and next sentence; the decoder is the word table itself."""

    def __init__(
        self,
        encoder: BertEncoder,
        pooler: Pooler,
        masked_head: MaskedTokenHead,
        next_sentence_head: NextSentenceHead,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler
        self.masked_head = masked_head
        self.next_sentence_head = next_sentence_head

    @classmethod
    def new(
        cls,
        config: BertConfig,
        generator: torch.Generator | None = None,
        *,
        initialisation: str = "truncated_normal",
    ) -> "BertForPreTraining":
        """Random weights, all from one generator (None: seeded with 0)."""
        generator = generator or seeded(0)
        return cls(
            BertEncoder(config, generator, initialisation=initialisation),
            Pooler(config, generator, initialisation=initialisation),
            MaskedTokenHead(config, generator, initialisation=initialisation),
            NextSentenceHead(config, generator, initialisation=initialisation),
        )

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, masked_positions: Tensor, dropout: Dropout | None = None) -> tuple[Tensor, Tensor]:
        """Logits of words (P, V) at the flat positions (P,), and of next sentence (B, 2)."""
        masked, first = self.read_states(rows, masked_positions, dropout)
        words = self.masked_head(masked, self.encoder.embeddings.word)
        return words, self.next_sentence_head(self.pooler(first))

    def read_states(
        self, rows: Rows, masked_positions: Tensor, dropout: Dropout | None, *, direct: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Last states of the masked tokens (P, E) and of the first token of each sequence (B, E)."""
        places = torch.cat([masked_positions, rows.first_index])
        states = states_at(self.encoder, rows, places, dropout, direct=direct)
        return states[: len(masked_positions)], states[len(masked_positions) :]

    def losses(
        self,
        rows: Rows,
        masked_positions: Tensor,
        masked_labels: Tensor,
        next_sentence_labels: Tensor | None = None,
        *,
        masked_scale: float = 1.0,
        sentence_scale: float = 1.0,
        dropout: Dropout | None = None,
        direct: bool = False,
        count_correct: bool = False,
    ) -> PreTrainingLosses:
        """Both losses and what is differentiated.

        masked_positions, masked_labels   (P,) int64 flat index into (R * L), and the word that stood there
        next_sentence_labels              (B,) int64 0 = is next, 1 = is not, by sequence; None: no such loss
        masked_scale, sentence_scale      1 / count over the whole global batch
        direct                            gradients of the word table go straight into its `.grad`, see
                                          fused_cross_entropy
        """
        states, first = self.read_states(rows, masked_positions, dropout, direct=direct)
        masked = self.masked_head.loss(
            states,
            masked_labels,
            self.encoder.embeddings.word,
            scale=masked_scale,
            direct=direct,
            count_correct=count_correct,
        )
        if next_sentence_labels is None:
            nothing = torch.zeros_like(masked.loss_sum)
            return PreTrainingLosses(masked.loss, masked.loss_sum, nothing, masked.correct, None)
        logits = self.next_sentence_head(self.pooler(first))
        sentence_sum = F.cross_entropy(logits, next_sentence_labels, reduction="sum")
        hits = (logits.argmax(-1) == next_sentence_labels).sum() if count_correct else None
        total = masked.loss + sentence_scale * sentence_sum
        return PreTrainingLosses(total, masked.loss_sum, sentence_sum.detach(), masked.correct, hits)


class BertForSentence(nn.Module):
    """One answer a sequence: classes, several labels, or a score; what the logits mean is the task's affair."""

    head: ClassVar[str] = "classifier"  # the attribute that is new for each task

    def __init__(self, encoder: BertEncoder, pooler: Pooler, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler
        self.classifier = classifier

    @classmethod
    def new(cls, config: BertConfig, outputs: int, generator: torch.Generator | None = None) -> Self:
        """Random weights with C = outputs, all from one generator (None: seeded with 0)."""
        generator = generator or seeded(0)
        encoder = BertEncoder(config, generator)
        return cls(encoder, Pooler(config, generator), Classifier(config, outputs, generator))

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """Logits (B, C), in the order of the sequences; see Embeddings.forward for `direct`."""
        pooled = self.pooler(states_at(self.encoder, rows, rows.read_index, dropout, direct=direct))
        logits: Tensor = self.classifier(pooled, dropout)
        return logits


class BertForTokens(nn.Module):
    """One answer for each token that is read (`Rows.read_index`): tags."""

    head: ClassVar[str] = "classifier"

    def __init__(self, encoder: BertEncoder, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier

    @classmethod
    def new(cls, config: BertConfig, outputs: int, generator: torch.Generator | None = None) -> Self:
        """Random weights with C = outputs, all from one generator (None: seeded with 0)."""
        generator = generator or seeded(0)
        return cls(BertEncoder(config, generator), Classifier(config, outputs, generator))

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """Logits (P, C) of the tokens read, sequence by sequence; see Embeddings.forward for `direct`."""
        states = states_at(self.encoder, rows, rows.read_index, dropout, direct=direct)
        logits: Tensor = self.classifier(states, dropout)
        return logits


class BertForSpan(nn.Module):
    """Two scores for each token that is read: as the first and as the last of an answer."""

    head: ClassVar[str] = "span"

    def __init__(self, encoder: BertEncoder, span: SpanHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.span = span

    @classmethod
    def new(cls, config: BertConfig, outputs: int = 2, generator: torch.Generator | None = None) -> Self:
        """Random weights, all from one generator (None: seeded with 0)."""
        generator = generator or seeded(0)
        return cls(BertEncoder(config, generator), SpanHead(config, outputs, generator))

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """Logits (P, 2) of the tokens read, sequence by sequence; see Embeddings.forward for `direct`."""
        logits: Tensor = self.span(states_at(self.encoder, rows, rows.read_index, dropout, direct=direct))
        return logits


TaskNetwork: TypeAlias = BertForSentence | BertForTokens | BertForSpan | BertForEmbedding | BertForShape
