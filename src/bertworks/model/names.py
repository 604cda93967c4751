"""Our parameter names and Hugging Face's: one table, read in both directions.

A checkpoint's names are first brought to one form: no `bert.` in front, LayerNorm.weight for LayerNorm.gamma.
"""

import re
from collections.abc import Iterable

PREFIX = "bert."
QKV = ("query", "key", "value")  # three tensors there, one of three times the rows here

# What a Hugging Face name begins with, for each head of ours
HEADS = {
    "pooler": "pooler.",
    "masked_head": "cls.predictions.",
    "next_sentence_head": "cls.seq_relationship.",
    "classifier": "classifier.",
    "span": "qa_outputs.",
    "answer": "answer.",
}
HEAD_NAMES = {
    "pooler": "pooler",
    "masked_head": "masked-token head",
    "next_sentence_head": "next-sentence head",
    "classifier": "classifier",
    "span": "span head",
    "answer": "classifier",
}
# Copies of tensors that are stored under another name, and a buffer; nothing is lost by leaving them out
COPIES = {"cls.predictions.decoder.weight": "embeddings.word_embeddings.weight"}
RENAMED = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
BUFFERS = ("embeddings.position_ids",)

_ENCODER = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.token_type": "embeddings.token_type_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "final_norm": "encoder.ln",
}
_LAYER = {
    "qkv": "attention.self.{}",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_LAYER_PRE_NORM = {**_LAYER, "attention_norm": "attention.ln", "output_norm": "ln"}
_HEADS = {
    "pooler.dense": "pooler.dense",
    "masked_head.dense": "cls.predictions.transform.dense",
    "masked_head.norm": "cls.predictions.transform.LayerNorm",
    "masked_head.bias": "cls.predictions.bias",
    "next_sentence_head.classifier": "cls.seq_relationship",
    "span": "qa_outputs",
}


def hf_names(name: str, pre_norm: bool) -> tuple[str, ...]:
    """The Hugging Face names, without prefix, that hold our parameter `name`: three for a fused one, else one.

    A name that no BERT has (a head of a task's own) stays as it is.
    """
    name = name.removeprefix("encoder.")
    layer = re.fullmatch(r"layers\.(\d+)\.(\w+)\.(weight|bias)", name)
    if layer:
        index, part, kind = layer.groups()
        theirs = f"encoder.layer.{index}.{(_LAYER_PRE_NORM if pre_norm else _LAYER)[part]}.{kind}"
        return tuple(theirs.format(which) for which in QKV) if part == "qkv" else (theirs,)
    for table in (_ENCODER, _HEADS):
        for ours, theirs in table.items():
            if name == ours:
                return (theirs,)
            if name.startswith(ours + "."):
                return (theirs + name[len(ours) :],)
    return (name,)


def is_encoder(hf_name: str) -> bool:
    """Whether a name in one form belongs to the encoder."""
    return hf_name.startswith(("embeddings.", "encoder."))


def head_of(hf_name: str) -> str | None:
    """Our attribute for the head a name in one form belongs to, or None."""
    return next((head for head, start in HEADS.items() if hf_name.startswith(start)), None)


def one_form(name: str) -> str:
    """A checkpoint's name in the form this module speaks of; wrappers of torch (compile, DDP) leave words in front."""
    name = re.sub(r"^(module\.|_orig_mod\.)+", "", name).removeprefix(PREFIX)
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def with_prefix(name: str) -> str:
    """The name as transformers saves it in a model that has a head besides the pooler."""
    return PREFIX + name if is_encoder(name) or name.startswith(HEADS["pooler"]) else name


def shortened(names: Iterable[str], shown: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
