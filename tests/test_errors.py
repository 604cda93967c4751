"""The error a user sees, and the nearest names to a misspelt one."""

from __future__ import annotations

import pickle

from bertworks.base.errors import BertworksError, did_you_mean, nearest
from bertworks.base.recipe import RecipeError


def test_lines_and_exit_code() -> None:
    bare, full = BertworksError("a.csv: empty"), BertworksError("run failed", "try again", exit_code=1)
    assert (str(bare), bare.exit_code, bare.lines()) == ("a.csv: empty", 2, ["error: a.csv: empty"])
    assert (full.exit_code, full.lines()) == (1, ["error: run failed", "hint: try again"])


def test_an_error_crosses_processes_whole() -> None:
    for error in (BertworksError("m", "h", exit_code=1), RecipeError([("a", "b"), ("c", "")])):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert (str(back), back.hint, back.exit_code, back.lines()) == (
            str(error),
            error.hint,
            error.exit_code,
            error.lines(),
        )


def test_nearest_names_first() -> None:
    keys = ["hidden_size", "hidden_act", "vocab_size", "Label"]
    assert nearest("hiden_size", keys)[0] == "hidden_size"
    assert nearest("LABEL", keys) == ["Label"]
    assert nearest("zzz", keys) == []
    assert len(nearest("name", [f"name{n}" for n in range(9)])) == 3
    assert did_you_mean("hiden_act", keys).startswith("did you mean `hidden_act`")
    assert did_you_mean("zzz", keys) == ""
