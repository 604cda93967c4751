"""Other heads: pooled as their formulas say, the same alone and packed, read back from their folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.finetune.run import finetune
from bertworks.model.bert import BertForSentence
from bertworks.model.head_shape import POOLINGS, HeadShape
from bertworks.model.layout import pack_rows, pad_rows
from bertworks.model.pretrained import load_for_task, new_network, read_config
from bertworks.model.shaped import BertForShape
from bertworks.predict.directory import load_model
from bertworks.predict.evaluate import evaluate_table
from bertworks.predict.run import predict_rows
from bertworks.read.tables import read_table
from finetune_steps import Steps, prepared_of, start_folder
from finetune_support import toy_rows, write_rows

SEQUENCES = [np.array(ids, np.int32) for ids in ([2, 7, 9, 3], [2, 11, 3], [2, 5, 6, 8, 12, 14, 3], [2, 3])]
OTHER = [shape for shape in POOLINGS if shape != "cls"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("heads"))


def network(place: Path, pooling: str, head: str = "linear") -> BertForShape:
    """With learnt parts that are not at their start."""
    shape = HeadShape(pooling, head, 17 if head == "mlp" else None)
    model, _, _ = load_for_task(place / "start", BertForSentence, 5, torch.Generator().manual_seed(1), shape=shape)
    assert isinstance(model, BertForShape)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("pooling."):
                parameter.normal_(generator=torch.Generator().manual_seed(7))
    return model.eval()


def theirs(place: Path, model: BertForShape) -> torch.Tensor:
    """The formula on the hidden states that transformers gives, a sequence at a time."""
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(place / "start").eval()
    found = []
    with torch.no_grad():
        for ids in SEQUENCES:
            states = encoder(torch.from_numpy(ids[None].astype(np.int64)), output_hidden_states=True).hidden_states
            last = states[-1][0]
            if model.pooling.kind == "mean":
                vector = last.mean(0)
            elif model.pooling.kind == "max":
                vector = last.amax(0)
            elif model.pooling.kind == "last4":
                vector = torch.stack([state[0, 0] for state in states[1:]]).mean(0)  # this model has two layers
            elif model.pooling.kind == "weighted":
                shares = torch.softmax(model.pooling.layers, 0)
                vector = sum(share * state[0, 0] for share, state in zip(shares, states, strict=True))
            else:
                shares = torch.softmax(last @ model.pooling.query / len(model.pooling.query) ** 0.5, 0)
                vector = shares @ last
            found.append(model.answer(vector[None])[0])
    return torch.stack(found)


@pytest.mark.parametrize("pooling", OTHER)
def test_pooling_is_its_formula_padded_and_packed(place: Path, pooling: str) -> None:
    model = network(place, pooling)
    expected = theirs(place, model)
    assert expected.std(0).min() > 1e-3, "equal vectors would show nothing"
    with torch.no_grad():
        for rows in (pad_rows(SEQUENCES, None), pad_rows(SEQUENCES, None, 13), pack_rows(SEQUENCES, None, 12)):
            torch.testing.assert_close(model(rows), expected, rtol=1e-5, atol=1e-5)


def test_learnt_pooling_begins_even_and_learns(place: Path) -> None:
    for pooling in ("weighted", "attention"):
        steps = Steps(prepared_of(place, model__pooling=pooling))
        (name,) = [name for name in steps.weights() if name.startswith("pooling.")]
        assert not steps.weights()[name].any()
        steps.go(3)
        assert (steps.weights()[name] != 0).all()


def test_a_hidden_layer_is_tanh_between_pooler_and_classes(place: Path) -> None:
    model = network(place, "cls", "mlp")
    assert model.pooler is not None
    assert model.hidden is not None
    with torch.no_grad():
        rows = pad_rows(SEQUENCES, None)
        pooled = model.pooler(model.encoder(rows)[:, 0])
        expected = model.answer(torch.tanh(pooled @ model.hidden.weight.T + model.hidden.bias))
        torch.testing.assert_close(model(rows), expected, rtol=1e-5, atol=1e-5)
    assert model.hidden.weight.shape == (17, 24)
    stored = load_for_task(place / "start", BertForSentence, 5)[0].pooler.dense.weight
    assert torch.equal(model.pooler.dense.weight, stored), "the pooler is the checkpoint's"


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("train.csv", {"model__pooling": "mean", "model__head": "mlp", "model__head_size": 17}),
        ("tags.conll", {"model__pooling": "weighted", "model__head": "mlp"}),
    ],
)
def test_a_run_with_another_head_is_read_back(place: Path, tmp_path: Path, data: str, keys: dict[str, object]) -> None:
    recipe = prepared_of(place, data__train=str(place / data), train__steps=12, **keys).recipe
    done = finetune(recipe, tmp_path / "run")
    best = tmp_path / "run" / "best"
    opened = load_model(done.run)
    assert isinstance(opened.model, BertForShape)
    assert json.loads((best / "bertworks.json").read_text())["head"]["pooling"] == keys["model__pooling"]
    assert json.loads((best / "config.json").read_text())["architectures"] == ["BertModel"]
    card = (best / "README.md").read_text()
    assert "bertworks' own: transformers opens the encoder alone" in card
    assert "from_pretrained(…)`; it cuts" not in card
    assert f"technique: {keys['model__pooling']} pooling" in (done.run / "log.txt").read_text()
    assert "transformers opens the encoder alone" in (done.run / "log.txt").read_text()
    again = evaluate_table(opened, read_table(place / data)).metrics
    assert set(again) == set(done.metrics["dev"])
    rows = [{"text": row["text"]} for row in toy_rows(9, seed=4)]
    answers = predict_rows(opened.model, opened.task, opened.tokenizer, rows, max_length=opened.max_length).answers
    assert len({json.dumps(answer.to_json()) for answer in answers}) > 1


def test_transformers_opens_the_encoder_of_such_a_folder(place: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    steps = Steps(prepared_of(place, model__pooling="mean"))
    steps.go(2)
    steps.network.save(tmp_path / "saved")
    encoder = AutoModel.from_pretrained(tmp_path / "saved").eval()
    rows = pad_rows(SEQUENCES[:1], None)
    with torch.no_grad(), steps.network.whole() as model:
        expected = model.encoder(rows)
        torch.testing.assert_close(encoder(rows.input_ids).last_hidden_state, expected, rtol=1e-5, atol=1e-5)


def test_scores_are_folded_into_any_head(place: Path, tmp_path: Path) -> None:
    scores = [{"text": row["text"], "score": 20 + i % 7 / 2} for i, row in enumerate(toy_rows(40))]
    rows = write_rows(tmp_path / "scores.csv", scores)
    steps = Steps(prepared_of(place, data__train=str(rows), data__task="score", model__pooling="max"))
    steps.go(4)
    steps.network.save(tmp_path / "saved")
    opened = load_model(tmp_path / "saved")
    found = predict_rows(opened.model, opened.task, opened.tokenizer, [{"text": "we saw it"}], max_length=40)
    assert 15 < found.answers[0].to_json()["score"] < 30


def test_what_answers_for_each_token_has_no_vector_of_a_text(place: Path, tmp_path: Path) -> None:
    recipe = prepared_of(place, data__train=str(place / "tags.conll"), model__pooling="mean").recipe
    with pytest.raises(BertworksError, match=r"pooling `mean` makes one vector of a text, this task answers for each"):
        finetune(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()

    class Own:
        pass

    with pytest.raises(BertworksError, match=r"this task has a head of its own"):
        new_network(Own, read_config(place / "start"), 2, shape=HeadShape("mean"))


def test_a_head_of_a_newer_version_is_refused(place: Path, tmp_path: Path) -> None:
    steps = Steps(prepared_of(place, model__pooling="mean"))
    steps.network.save(tmp_path / "saved")
    file = tmp_path / "saved" / "bertworks.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"head": {"pooling": "middle", "head": "linear"}}))
    with pytest.raises(BertworksError, match=r"`head` is not what this version knows"):
        load_model(tmp_path / "saved")
    plain = Steps(prepared_of(place))
    plain.network.save(tmp_path / "plain")
    assert "head" not in json.loads((tmp_path / "plain" / "bertworks.json").read_text())
