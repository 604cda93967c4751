"""Masked tokens: transformers' probabilities for each mask, and a fill that reads what it has filled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.model.bert import BertForPreTraining
from bertworks.predict.directory import load_masked
from bertworks.predict.fill import fill
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder

TEXT = "the [MASK] cat saw [MASK] and it [MASK] ."
Opened = tuple[BertForPreTraining, Tokenizer, Path]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    start = model_folder(tmp_path_factory.mktemp("fill") / "start")
    return load_masked(start), Tokenizer.load(start), start


def probabilities(start: Path, text: str) -> tuple[np.ndarray, list[int]]:
    """(T, V) by transformers, and the places of the masks."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start)
    batch = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForMaskedLM.from_pretrained(start).eval()(**batch).logits[0]
    places = (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    return torch.softmax(logits, -1).numpy(), places


def test_each_mask_has_transformers_probabilities(opened: Opened) -> None:
    model, tokenizer, start = opened
    found = fill(model, tokenizer, TEXT, top=4)
    theirs, places = probabilities(start, TEXT)
    theirs[:, list(tokenizer.special_ids)] = 0
    assert len(found.predictions) == 3
    assert [len(guesses) for guesses in found.predictions] == [4] * 3
    for place, guesses in zip(places, found.predictions, strict=True):
        best = np.argsort(-theirs[place])[:4]
        assert [guess.token for guess in guesses] == [tokenizer.tokens[i] for i in best]
        np.testing.assert_allclose([guess.score for guess in guesses], theirs[place][best], atol=1e-5)


def test_independent_takes_each_best_and_multiplies(opened: Opened) -> None:
    found = fill(*opened[:2], TEXT)
    assert found.independent.tokens == [guesses[0].token for guesses in found.predictions]
    assert found.independent.score == pytest.approx(np.prod([guesses[0].score for guesses in found.predictions]))


def test_one_by_one_asks_again_after_each(opened: Opened) -> None:
    model, tokenizer, _ = opened
    found = fill(model, tokenizer, TEXT)
    text, left = TEXT, [0, 1, 2]
    for mask in found.order:
        now = fill(model, tokenizer, text, top=1).predictions
        assert left.index(mask) == int(np.argmax([guesses[0].score for guesses in now])), "the surest goes first"
        guess = now[left.index(mask)][0]
        assert found.one_by_one.tokens[mask] == guess.token
        assert found.one_by_one.scores[mask] == pytest.approx(guess.score, abs=1e-6)
        parts = text.split("[MASK]")
        at = left.index(mask)
        text = "[MASK]".join(parts[: at + 1]) + guess.token + "[MASK]".join(parts[at + 1 :])
        left.remove(mask)
    assert sorted(found.order) == [0, 1, 2]
    later = list(found.order[1:])
    assert any(
        found.one_by_one.scores[mask] != pytest.approx(found.predictions[mask][0].score, abs=1e-4) for mask in later
    ), "what was filled must change what follows"


def test_the_filled_text_reads_as_its_pieces(opened: Opened) -> None:
    found = fill(*opened[:2], "the [MASK] .")
    assert found.independent.text == f"the {found.independent.tokens[0].removeprefix('##')}."
    assert found.independent == found.one_by_one, "one mask has one way"


def test_json_has_the_promised_shape(opened: Opened) -> None:
    told = fill(*opened[:2], TEXT, top=2).to_json()
    assert [one["mask"] for one in told] == [0, 1, 2]
    for one in told:
        assert [set(guess) for guess in one["predictions"]] == [{"token", "score"}] * 2
        assert set(one["one_by_one"]) == {"token", "score"}


def test_what_cannot_be_filled_is_refused(opened: Opened, tmp_path: Path) -> None:
    model, tokenizer, _ = opened
    with pytest.raises(BertworksError, match=r"no `\[MASK\]` in the text"):
        fill(model, tokenizer, "the cat")
    with pytest.raises(BertworksError, match="the text has 43 tokens, the model takes 40"):
        fill(model, tokenizer, "[MASK] " + "cat " * 40)
    with pytest.raises(BertworksError, match="0 guesses a mask"):
        fill(model, tokenizer, TEXT, top=0)


def test_a_model_without_the_head_is_refused(opened: Opened, tmp_path: Path) -> None:
    from bertworks.model.bert import BertForSentence
    from bertworks.model.pretrained import load_for_task, save_pretrained

    model, _, _ = load_for_task(opened[2], BertForSentence, 2)
    save_pretrained(model, tmp_path / "fine-tuned", also=opened[1].save)
    with pytest.raises(BertworksError, match="has no masked-token head"):
        load_masked(tmp_path / "fine-tuned")
