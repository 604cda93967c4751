"""What a BERT is made of: its sizes, as a value that is checked once, and Hugging Face's config.json both ways."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertworks.base.errors import BertworksError, nearest

HEAD_DIM = 64  # of all published sizes: heads = hidden size / 64

PRESETS: dict[str, dict[str, int]] = {
    name: {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD_DIM,
        "intermediate_size": 4 * hidden,
    }
    for name, layers, hidden in (
        ("tiny", 2, 128),
        ("mini", 4, 256),
        ("small", 4, 512),
        ("medium", 8, 512),
        ("base", 12, 768),
        ("large", 24, 1024),
    )
}

# Hugging Face's name -> ours, which says the form: "gelu" is erf there and here (docs/numerics.md)
ACTIVATION_ALIASES = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "swish": "silu", "": "linear"}
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "tanh", "linear")
MODEL_TYPES = {"bert": False, "megatron-bert": True}  # model_type -> pre_norm


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates of one network; the defaults are BERT base.

    pre_norm  LayerNorm before attention and feed-forward, one at the end and none after the embeddings: the
              architecture that transformers calls MegatronBert. False is BERT as published.
    Raises BertworksError when the sizes do not fit together.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pre_norm: bool = False

    def __post_init__(self) -> None:
        for name in SIZES:
            if getattr(self, name) < 1:
                raise BertworksError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise BertworksError(f"{name} is {getattr(self, name)}, must be at least 0 and below 1")
        if self.hidden_size % self.num_attention_heads:
            raise BertworksError(
                f"hidden_size {self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads}",
                f"nearest that fit: {sizes_that_fit(self.hidden_size, self.num_attention_heads)}",
            )
        if self.hidden_act not in ACTIVATIONS:
            raise BertworksError(
                f"hidden_act `{self.hidden_act}` is unknown",
                f"did you mean `{nearest(self.hidden_act, ACTIVATIONS, 1)[0]}`? known: {', '.join(ACTIVATIONS)}"
                if nearest(self.hidden_act, ACTIVATIONS, 1)
                else f"known: {', '.join(ACTIVATIONS)}",
            )

    @property
    def head_dim(self) -> int:
        """D: width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "BertConfig":
        """Read the keys of a Hugging Face `config.json` or of Google's `bert_config.json`; others are ignored.

        Raises BertworksError for another architecture, or a variant of BERT that this one is not.
        """
        model_type = values.get("model_type", "bert")
        if model_type not in MODEL_TYPES:
            raise BertworksError(
                f"model_type `{model_type}` is another architecture", f"this reads {' and '.join(MODEL_TYPES)}"
            )
        if values.get("position_embedding_type", "absolute") != "absolute":
            raise BertworksError(
                f"position_embedding_type `{values['position_embedding_type']}` is not supported",
                "only absolute positions, as published",
            )
        if values.get("is_decoder") or values.get("add_cross_attention"):
            raise BertworksError("the config describes a decoder", "only encoders are read")
        if "vocab_size" not in values:
            raise BertworksError("the config has no `vocab_size`", "is it the config.json of a BERT?")
        known = {field.name for field in dataclasses.fields(cls)} - {"pre_norm", "hidden_act"}
        chosen = {name: values[name] for name in values if name in known}
        activation = values.get("hidden_act", "gelu") or "linear"
        return cls(
            **chosen,
            hidden_act=ACTIVATION_ALIASES.get(activation, activation),
            pre_norm=MODEL_TYPES[model_type],
        )

    def to_json(self, architecture: str, *, pad_token_id: int = 0, dtype: str = "float32") -> dict[str, Any]:
        """The content of `config.json`; `architecture` is transformers' class for BERT, e.g. "BertForPreTraining"."""
        values = dataclasses.asdict(self)
        del values["pre_norm"]
        if self.hidden_act == "gelu_tanh":
            values["hidden_act"] = "gelu_new"  # the older of the two names there, known to every version
        if self.pre_norm:
            architecture = architecture.replace("Bert", "MegatronBert", 1)
        return {
            "architectures": [architecture],
            "model_type": "megatron-bert" if self.pre_norm else "bert",
            **values,
            "pad_token_id": pad_token_id,
            "position_embedding_type": "absolute",
            "torch_dtype": dtype,
        }


SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)


def sizes_that_fit(hidden_size: int, heads: int) -> str:
    """The multiples of `heads` on both sides of hidden_size, nearest first, with the head size each gives."""
    below = hidden_size // heads * heads
    fitting = sorted((n for n in (below, below + heads) if n), key=lambda n: abs(n - hidden_size))
    return ", ".join(f"{n} (head_dim {n // heads})" for n in fitting)


def preset(name: str, vocab_size: int) -> BertConfig:
    """A published size: tiny, mini, small, medium, base or large.

    Raises BertworksError for another name.
    """
    if name not in PRESETS:
        raise BertworksError(f"preset `{name}` is unknown", f"presets: {', '.join(PRESETS)}")
    sizes: dict[str, Any] = dict(PRESETS[name])
    return BertConfig(vocab_size, **sizes)


def number_of_parameters(config: BertConfig) -> int:
    """Parameters of encoder and pooler, counted from the sizes alone."""
    e, f = config.hidden_size, config.intermediate_size
    norm = 2 * e
    tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size) * e
    layer = (e + 1) * 3 * e + (e + 1) * e + norm + (e + 1) * f + (f + 1) * e + norm
    return tables + norm + config.num_hidden_layers * layer + (e + 1) * e
