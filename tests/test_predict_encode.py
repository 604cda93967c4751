"""Vectors of texts: those of the network itself, whatever the batch, the layer or the length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.encoder import BertEncoder
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import load_encoder
from bertworks.predict.encode import encode, spans
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder, toy_rows

TEXTS = [str(row["text"]) for row in toy_rows(23, longest=30)]
Opened = tuple[BertEncoder, Tokenizer, Path]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    start = model_folder(tmp_path_factory.mktemp("encode") / "start")
    encoder, _, _ = load_encoder(start)
    return encoder.eval(), Tokenizer.load(start), start


def one_by_one(opened: Opened, text: str) -> np.ndarray:
    """(layers + 1, T, E) of one text, the plain way."""
    encoder, tokenizer, _ = opened
    ids = [tokenizer.cls_token_id, *tokenizer.encode([text])[0], tokenizer.sep_token_id]
    with torch.no_grad():
        return torch.cat(encoder.forward_all(pad_rows([np.array(ids)], None))).numpy()


def test_pieces_of_all_layers_are_the_network_s(opened: Opened) -> None:
    encoder, tokenizer, _ = opened
    found = encode(encoder, tokenizer, TEXTS, layers="all", unit="piece")
    for text, states in zip(TEXTS, found, strict=True):
        assert states.dtype == np.float32
        np.testing.assert_allclose(states, one_by_one(opened, text), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_text_is_pooled_over_its_pieces(opened: Opened, pooling: str) -> None:
    encoder, tokenizer, _ = opened
    found = encode(encoder, tokenizer, TEXTS, pooling=pooling)
    assert isinstance(found, np.ndarray)
    assert found.shape == (23, 24)
    assert np.ptp(found, axis=0).max() > 0.1
    for text, vector in zip(TEXTS, found, strict=True):
        last = one_by_one(opened, text)[-1]
        wanted = {"mean": last.mean(0), "cls": last[0], "max": last.max(0)}[pooling]
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


def test_layers_by_number_from_either_end(opened: Opened) -> None:
    encoder, tokenizer, _ = opened
    everything = encode(encoder, tokenizer, TEXTS, layers="all")
    assert isinstance(everything, np.ndarray)
    assert everything.shape == (23, 3, 24)
    np.testing.assert_allclose(encode(encoder, tokenizer, TEXTS, layers=0), everything[:, 0], atol=1e-6)
    np.testing.assert_allclose(encode(encoder, tokenizer, TEXTS, layers=-1), everything[:, 2], atol=1e-6)
    np.testing.assert_allclose(encode(encoder, tokenizer, TEXTS, layers=[-2, 0]), everything[:, [1, 0]], atol=1e-6)
    assert np.abs(everything[:, 0] - everything[:, 2]).max() > 0.1


def test_transformers_gives_the_same_mean(opened: Opened) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder, tokenizer, start = opened
    model, theirs = AutoModel.from_pretrained(start).eval(), AutoTokenizer.from_pretrained(start)
    batch = theirs(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    wanted = ((states * mask).sum(1) / mask.sum(1)).numpy()
    np.testing.assert_allclose(encode(encoder, tokenizer, TEXTS), wanted, atol=1e-5)


def test_a_long_text_keeps_every_piece(opened: Opened) -> None:
    encoder, tokenizer, _ = opened
    long_text = " ".join(TEXTS * 3)
    pieces = len(tokenizer.encode([long_text])[0])
    assert pieces > 3 * encoder.config.max_position_embeddings
    states = encode(encoder, tokenizer, [long_text, TEXTS[0]], unit="piece")[0]
    assert states.shape == (pieces + 2, 24)
    room = encoder.config.max_position_embeddings - 2
    ids = tokenizer.encode([long_text])[0]
    for start, stop, first, last in spans(pieces, room):
        window = np.concatenate([[tokenizer.cls_token_id], ids[start:stop], [tokenizer.sep_token_id]])
        with torch.no_grad():
            wanted = encoder(pad_rows([window], None))[0].numpy()
        np.testing.assert_allclose(
            states[first + 1 : last + 1], wanted[first - start + 1 : last - start + 1], atol=1e-5
        )


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 3000), st.integers(1, 600))
def test_windows_own_every_piece_once_and_read_it(number: int, room: int) -> None:
    windows = spans(number, room)
    assert windows[0][2] == 0
    assert windows[-1][3] == number
    for (start, stop, first, last), following in zip(windows, [*windows[1:], None], strict=True):
        assert start <= first <= last <= stop <= max(number, 0)
        assert stop - start <= room
        assert following is None or following[2] == last


def test_what_is_not_there_is_refused(opened: Opened) -> None:
    encoder, tokenizer, _ = opened
    with pytest.raises(BertworksError, match="layer 3 is not there"):
        encode(encoder, tokenizer, ["cat"], layers=3)
    with pytest.raises(BertworksError, match="pooling `sum` is unknown"):
        encode(encoder, tokenizer, ["cat"], pooling="sum")
    with pytest.raises(BertworksError, match="unit `word` is unknown"):
        encode(encoder, tokenizer, ["cat"], unit="word")


def test_no_texts_and_an_empty_text(opened: Opened) -> None:
    encoder, tokenizer, _ = opened
    nothing = encode(encoder, tokenizer, [])
    assert isinstance(nothing, np.ndarray)
    assert nothing.shape == (0, 24)
    assert encode(encoder, tokenizer, [""], unit="piece")[0].shape == (2, 24)
