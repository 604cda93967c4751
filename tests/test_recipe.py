"""Recipes: what is refused, in which words; what is taken, and written back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import Problem, RecipeError, differences, keys, load, schema, setting, to_toml, value


@dataclass(frozen=True)
class Model:
    """The network."""

    hidden_size: int = setting(256, "E", ge=1)
    heads: int = 4  # attention heads
    dropout: float = setting(0.1, ge=0, lt=1)
    vocab: str | None = None
    pre_norm: bool = False

    def problems(self) -> list[Problem]:
        if self.hidden_size % self.heads:
            return [
                Problem("hidden_size", f"hidden_size {self.hidden_size} is not divisible by heads {self.heads}", "252")
            ]
        return []


@dataclass(frozen=True)
class Train:
    """The run."""

    lr: float = 1e-3  # peak
    steps: int | None = None
    kind: Literal["adamw", "muon"] = "adamw"
    layers: tuple[int, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    out: Path = Path("runs/a")
    cap: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if self.steps == 0:
            raise BertworksError("train: no steps", "one at least")


@dataclass(frozen=True)
class Recipe:
    """All of it."""

    seed: int = 0
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)


@dataclass(frozen=True)
class Needy:
    corpus: str
    size: int = 1


def refused(text: str, **overrides: object) -> list[str]:
    """The lines a user sees for a recipe file and overrides ("train.lr" written train__lr)."""
    Path("tiny.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BertworksError) as error:
        load(Recipe, "tiny.toml", {name.replace("__", "."): given for name, given in overrides.items()})
    assert error.value.exit_code == 2
    return error.value.lines()


def test_unknown_keys_are_told_with_line_and_neighbour() -> None:
    assert refused("[model]\nhiden_size = 250\n") == [
        "error: tiny.toml:2: unknown key `hiden_size` in [model]",
        "hint: did you mean `hidden_size`? `bertworks doctor --schema` lists all 5",
    ]
    assert refused("sead = 1\n[trian]\nlr = 1\n") == [
        "error: tiny.toml:1: unknown key `sead`",
        "hint: did you mean `seed`? `bertworks doctor --schema` lists all 3",
        "error: tiny.toml:2: unknown section [trian]",
        "hint: did you mean `train`? `bertworks doctor --schema` lists all 3",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('lr = "0.1"', '`lr` in [train] wants a number, got the text "0.1"'),
        ("lr = true", "`lr` in [train] wants a number, got true"),
        ("lr = inf", "`lr` in [train] wants a number, got inf"),
        ("steps = 1.0", '`steps` in [train] wants a whole number or "none", got 1.0'),
        ("steps = false", '`steps` in [train] wants a whole number or "none", got false'),
        ('kind = "adam"', '`kind` in [train] wants one of "adamw", "muon", got the text "adam"'),
        ("kind = 1", '`kind` in [train] wants one of "adamw", "muon", got 1'),
        ("layers = 3", "`layers` in [train] wants a list, each a whole number, got 3"),
        ('layers = [1, "2"]', "`layers` in [train] wants a list, each a whole number, got [1, '2']"),
        ("columns = {text = 1}", "`columns` in [train] wants a table of name = value, each text, got {'text': 1}"),
        ("out = 7", "`out` in [train] wants a path, got 7"),
        ('cap = "all"', '`cap` in [train] wants a whole number or "auto", got the text "all"'),
    ],
)
def test_types_are_strict(line: str, message: str) -> None:
    assert refused(f"[train]\n{line}\n")[0] == f"error: tiny.toml:2: {message}"


def test_ranges_and_agreement() -> None:
    assert refused("[model]\ndropout = 1\nhidden_size = -3\n") == [
        "error: tiny.toml:2: `dropout` in [model] must be below 1, got 1.0",
        "error: tiny.toml:3: `hidden_size` in [model] must be at least 1, got -3",
    ]
    assert refused("[model]\n\n\nhidden_size = 250\n") == [
        "error: tiny.toml:4: hidden_size 250 is not divisible by heads 4",
        "hint: 252",
    ]
    assert refused("", model__heads="3") == [
        "error: tiny.toml: hidden_size 256 is not divisible by heads 3",
        "hint: 252",
    ]
    assert refused("[train]\nsteps = 0") == ["error: tiny.toml:1: train: no steps", "hint: one at least"]


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    lines = refused(
        "seed = 1.5\n[train]\nlr = '1'\n[model]\nheads = true\n[nothing]\n", train__lrr="1", model__dropout="x"
    )
    assert [line for line in lines if line.startswith("error")] == [
        "error: tiny.toml:1: `seed` wants a whole number, got 1.5",
        'error: tiny.toml:3: `lr` in [train] wants a number, got the text "1"',
        "error: tiny.toml:5: `heads` in [model] wants a whole number, got true",
        "error: tiny.toml:6: unknown section [nothing]",
        "error: --model.dropout: wants a number, got x",
        "error: --train.lrr: unknown key `train.lrr`",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[model\n", "tiny.toml:1:7: not TOML, expected ']' at the end of a table declaration"),
        (b"a = \n", "tiny.toml:1:5: not TOML, invalid value"),
        (b'a = "', "tiny.toml: not TOML, unterminated string at the end"),
        (b"a = 1\na = 2\n", "tiny.toml:2:6: not TOML, cannot overwrite a value"),
        (b"# caf\xe9\n", "tiny.toml: not UTF-8, byte 0xe9 at 5"),
    ],
)
def test_files_that_are_not_toml(content: bytes, message: str) -> None:
    Path("tiny.toml").write_bytes(content)
    with pytest.raises(BertworksError) as error:
        load(Recipe, "tiny.toml", {})
    assert error.value.message == message


def test_files_that_are_not_there() -> None:
    for path, message in (("none.toml", "none.toml: no such recipe"), (".", ".: is a folder, a recipe is a TOML file")):
        with pytest.raises(BertworksError) as error:
            load(Recipe, path, {})
        assert error.value.message == message


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("train.lr", "3e-5", 3e-5),
        ("train.lr", "1", 1.0),
        ("train.steps", "10_000", 10_000),
        ("train.steps", "2e6", 2_000_000),
        ("train.steps", "none", None),
        ("train.kind", "muon", "muon"),
        ("train.layers", "1,2", (1, 2)),
        ("train.columns", 'text=body,label="a,b=c"', {"text": "body", "label": "a,b=c"}),
        ("train.out", "x/y", Path("x/y")),
        ("train.cap", "auto", "auto"),
        ("train.cap", "12", 12),
        ("model.pre_norm", "true", True),
        ("model.vocab", "12", "12"),
        ("train.layers", [3], (3,)),
        ("seed", 4, 4),
    ],
)
def test_overrides_are_read_as_the_keys_type(key: str, text: object, wanted: object) -> None:
    Path("tiny.toml").write_text("seed = 9\n[train]\nlr = 5\nkind = 'adamw'\n", encoding="utf-8")
    found = value(load(Recipe, "tiny.toml", {key: text}), key)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("train.lr", "abc", "wants a number, got abc"),
        ("train.lr", "nan", "wants a number, got nan"),
        ("train.steps", "1.5", 'wants a whole number or "none", got 1.5'),
        ("train.columns", "text", "wants a table of name = value, each text, got text"),
        ("model.pre_norm", "yes", "wants true or false, got yes"),
        ("train.lr", "", "wants a number, got nothing"),
        ("train.lr", True, "wants a number, got true"),
    ],
)
def test_overrides_that_cannot_be_read(key: str, text: object, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(Recipe, None, {key: text})
    assert error.value.message == f"--{key}: {message}"


def test_required_keys() -> None:
    with pytest.raises(RecipeError) as error:
        load(Needy, None, {})
    assert error.value.lines() == ["error: `corpus` is missing", "hint: give it in the recipe or as `--corpus`"]
    needy = load(Needy, None, {"corpus": "runs/c"})
    assert differences(needy) == ["corpus"]


def test_lines_of_every_way_to_write_a_key() -> None:
    text = """\
"seed" = "a"          # quoted
train.lr = "b"        # dotted
model = {heads = 1.5, dropout = "c"}
"""
    assert [line.split(": ", 2)[1] for line in refused(text) if "wants" in line] == [
        "tiny.toml:1",
        "tiny.toml:2",
        "tiny.toml:3",
        "tiny.toml:3",
    ]
    text = '[model]\nvocab = """\nheads = 7\n"""\n[ train ]\n  lr="x"\n'
    assert refused(text)[0].startswith("error: tiny.toml:6: `lr`")


def test_written_out_and_marked() -> None:
    recipe = load(Recipe, None, {"train.lr": "3e-5", "train.columns": "text=a", "model.vocab": 'a"\\\n'})
    assert differences(recipe) == ["model.vocab", "train.lr", "train.columns"]
    assert to_toml(recipe, marked=True) == (
        "seed = 0\n\n[model]\nhidden_size = 256\nheads = 4\ndropout = 0.1\n"
        'vocab = "a\\"\\\\\\n"  # changed\npre_norm = false\n\n'
        '[train]\nlr = 3e-05  # changed\nsteps = "none"\nkind = "adamw"\nlayers = []\n'
        'columns = {"text" = "a"}  # changed\nout = "runs/a"\ncap = "auto"\n'
    )
    assert to_toml(recipe) == to_toml(recipe, marked=True).replace("  # changed", "")


def test_the_schema_says_what_load_takes() -> None:
    written = schema(Recipe)
    model, train = written["properties"]["model"], written["properties"]["train"]
    assert written["additionalProperties"] is model["additionalProperties"] is train["additionalProperties"] is False
    assert model["properties"]["hidden_size"]["minimum"] == 1
    assert model["properties"]["hidden_size"]["description"] == "E"
    assert model["properties"]["heads"]["description"] == "attention heads"
    assert train["properties"]["lr"] == {"default": 0.001, "description": "peak", "title": "Lr", "type": "number"}
    assert train["properties"]["steps"]["anyOf"] == [{"type": "integer"}, {"const": "none"}]
    assert "$ref" not in str(written)
    assert [key.name for key in keys(Recipe)][:3] == ["seed", "model.hidden_size", "model.heads"]
