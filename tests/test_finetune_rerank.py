"""Reranking: metrics against scikit-learn, queries on one side of a split, scores equal to sentence-transformers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.finetune.data import read_data
from bertworks.finetune.run import finetune
from bertworks.predict.directory import load_model
from bertworks.predict.evaluate import evaluate_table
from bertworks.predict.files import FilePredictions
from bertworks.read.tables import parse_table, read_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.metrics import ranking_metrics
from bertworks.tasks.reranking import RerankTask
from finetune_support import KINDS, model_folder, toy_recipe, write_rows


def query_rows(number: int) -> list[dict[str, Any]]:
    """Queries with three passages; the one that speaks of an animal has score 2, the others 0."""
    random = np.random.default_rng(1)
    return [
        {"query": f"some one {i}", "passage": f"we saw {random.choice(words)}", "score": 2 * (kind == "animal")}
        for i in range(number)
        for kind, words in KINDS.items()
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rerank")
    start = model_folder(folder / "start", dropout=0.0)
    train = write_rows(folder / "train.csv", query_rows(40))
    recipe = toy_recipe(start, train, data__task="rerank", train__steps=60)
    data = read_data(recipe.data)
    there = [{row["sentence1"] for row in rows} for rows in (data.train, data.dev)]
    assert there[0].isdisjoint(there[1])
    assert len(data.dev) == 3 * len(there[1]), "all passages of a query stand in dev"
    finetune(recipe, folder / "run", data=data)
    return folder / "run"


def test_a_run_learns_to_rank(run: Path) -> None:
    dev = json.loads((run / "result.json").read_text())["metrics"]["dev"]
    assert list(dev) == ["ndcg_at_10", "mrr_at_10", "map", "accuracy"]
    assert dev["mrr_at_10"] > 0.8
    assert load_model(run).task == RerankTask(0, 2)
    table = read_table(run.parent / "train.csv")
    assert evaluate_table(load_model(run), table).metrics["map"] > 0.8


def test_a_list_of_passages_comes_back_ranked(run: Path, tmp_path: Path) -> None:
    passages = ["we saw tin", "we saw hen", "we saw red"]
    (answer,) = bw.load(run).predict([{"text": "some one 5", "choices": passages}])
    told = answer.to_json()["ranking"]
    assert told[0]["passage"] == 1
    assert [one["score"] for one in told] == sorted((one["score"] for one in told), reverse=True)
    single = bw.load(run).predict([("some one 5", passage) for passage in passages])
    by_place = {one["passage"]: one["logit"] for one in told}
    np.testing.assert_allclose([one.to_json()["logit"] for one in single], [by_place[i] for i in range(3)], atol=1e-5)
    path = tmp_path / "asked.jsonl"
    path.write_text(json.dumps({"query": "some one 5", "passages": passages}) + "\n", encoding="utf-8")
    (found,) = FilePredictions(load_model(run), str(path))
    assert found.answer.cells()["prediction"].startswith("1 ")


def test_sentence_transformers_gives_equal_scores(run: Path) -> None:
    package = pytest.importorskip("sentence_transformers")
    pairs = [("some one 5", "we saw hen"), ("some one 2", "we saw red"), ("a", "we")]
    theirs = package.CrossEncoder(str(run / "best"), device="cpu").predict(pairs)
    ours = [answer.to_json()["score"] for answer in bw.load(run).predict(pairs)]
    assert max(ours) - min(ours) > 0.2
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60), st.randoms())
def test_metrics_are_scikit_learns(rows: list[tuple[int, float]], draw: Any) -> None:
    from sklearn.metrics import average_precision_score, ndcg_score

    query, gold = (np.array(column) for column in zip(*rows, strict=True))
    scores = np.array(draw.sample(range(1000), len(rows))) / 7
    found = ranking_metrics(gold, scores, query)
    groups = [query == one for one in set(query.tolist()) if (gold[query == one] >= 0.5).any()]
    if not groups:
        assert set(found.values()) == {0.0}
        return
    expected = [average_precision_score(gold[group] >= 0.5, scores[group]) for group in groups]
    assert found["map"] == pytest.approx(np.mean(expected))
    several = [group for group in groups if group.sum() > 1]
    expected = [ndcg_score([gold[group]], [scores[group]], k=10) for group in several]
    assert found["ndcg_at_10"] == pytest.approx((sum(expected) + len(groups) - len(several)) / len(groups))
    first = [np.flatnonzero(gold[group][np.argsort(-scores[group])] >= 0.5)[0] for group in groups]
    assert found["mrr_at_10"] == pytest.approx(np.mean([1 / (place + 1) if place < 10 else 0 for place in first]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\na,1\nb,0\n", r"has no query and passage a row"),
        ("query,passage,label\na,b,good\n", r"rows\.csv:2: `good` is not a score"),
        ("query,passage,label\na,b,1\na,c,1\n", r"one score only, 1"),
    ],
)
def test_what_cannot_be_learnt_is_refused(text: str, message: str) -> None:
    with pytest.raises(BertworksError, match=message):
        infer_task(parse_table(text.encode(), "rows.csv"), "rerank")
