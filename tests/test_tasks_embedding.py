"""Vectors of texts: losses against sentence-transformers' own, ranks against a loop, pairs with labels as matches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table
from bertworks.tasks.embedding import EmbedAnswer, EmbedTask, ranks
from bertworks.tasks.infer import infer_task
from bertworks.tasks.lint.report import lint
from bertworks.tasks.matches import matches_of, with_matches
from bertworks.tasks.reranking import RerankTask
from bertworks.tasks.task import coverage, member_of
from bertworks.text.tokenizer import Tokenizer
from finetune_support import pair_rows, triplet_rows, vocabulary

NLI = """premise,hypothesis,label
a cat,an animal,entailment
a cat,a dog,contradiction
a cat,a black cat,neutral
a cat,it is,entailment
a hen,no hen,contradiction
the cow,a cow,entailment
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(vocabulary(tmp_path_factory.mktemp("vocab")), lowercase=True)


def parsed(text: str, **more: Any) -> Table:
    return parse_table(text.encode(), "rows.csv", may_lack_gold=True, **more)


def renamed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Triplets by role."""
    roles = ("sentence1", "sentence2", "negative")
    return [dict(zip(roles, row.values(), strict=True)) for row in rows]


def vectors_for(
    task: EmbedTask, rows: list[dict[str, Any]], tokenizer: Tokenizer
) -> tuple[Any, torch.Tensor, list[Any]]:
    """Windows, random vectors of them, and the mean vectors of each member over its windows."""
    windows = task.windows(rows, tokenizer, 12)
    assert coverage(windows).long_rows, "some text must be longer than a window"
    vectors = torch.randn(len(windows), 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    members = [
        torch.stack([
            torch.stack([v for w, v in zip(windows, vectors, strict=True) if w.row == n and member_of(w) == m]).mean(0)
            for n in range(len(rows))
        ])
        for m in range(len(rows[0]) if "negative" in rows[0] else 2)
    ]  # fmt: skip
    return windows, vectors, members


def test_losses_are_those_of_sentence_transformers(tokenizer: Tokenizer) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    rank = EmbedTask("rank", "rank")
    windows, vectors, members = vectors_for(rank, renamed(triplet_rows(9, longest=20)), tokenizer)
    ours = rank.loss_sum(vectors, rank.targets(windows), rank.weights(windows)) / rank.loss_count(windows)
    theirs = losses.MultipleNegativesRankingLoss(None).compute_loss_from_embeddings(members, None)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    score = EmbedTask("score", "score", 1, 5)
    rows = pair_rows(9, longest=20)
    windows, vectors, members = vectors_for(score, rows, tokenizer)
    ours = score.loss_sum(vectors, score.targets(windows), score.weights(windows)) / score.loss_count(windows)
    gold = torch.tensor([(row["score"] - 1) / 4 for row in rows], dtype=torch.float64)
    theirs = losses.CosineSimilarityLoss(None).compute_loss_from_embeddings(members, gold)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_matches_without_a_text_apart_stand_among_those_with_one(tokenizer: Tokenizer) -> None:
    rows = renamed(triplet_rows(5))
    del rows[1]["negative"]
    task = EmbedTask("rank", "rank")
    windows = task.windows(rows, tokenizer, 40)
    vectors = torch.randn(len(windows), 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = task.loss_sum(vectors, task.targets(windows), task.weights(windows))
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    member = [member_of(window) for window in windows]
    pick = [torch.stack([v for v, m in zip(unit, member, strict=True) if m == which]) for which in range(3)]
    assert [len(part) for part in pick] == [5, 5, 4]
    scores = 20 * pick[0] @ torch.cat(pick[1:]).T
    assert float(found) == pytest.approx(float(-torch.log_softmax(scores, -1).diagonal().sum()), rel=1e-6)


def test_ranks_count_other_texts_only() -> None:
    texts = [("a", "A", None), ("b", "B", "x"), ("a", "C", None), ("d", "A!", None)]
    rows = [{"sentence1": one, "sentence2": two, **({"negative": three} if three else {})} for one, two, three in texts]
    place = {
        "a": [1, 0.1],
        "b": [0, 1],
        "d": [1, 1],
        "A": [1, 0],
        "A!": [1, 0],
        "B": [1, 1.2],
        "x": [0, 2],
        "C": [1, 3],
    }
    answers = [EmbedAnswer(np.array([place[text] for text in row.values()], np.float32)) for row in rows]
    # b: x and C are nearer than B; a -> C: B is nearer, A a match as well; d: B and C are nearer than A, x as near
    assert ranks(answers, rows).tolist() == [1, 3, 2, 4]
    assert EmbedTask("rank", "rank").score(answers, rows)["recall_at_1"] == 0.25


def test_labels_say_which_pairs_match() -> None:
    table = parsed(NLI)
    assert infer_task(table, "embed").task == EmbedTask("rank", "rank")
    made = matches_of(table)
    assert [(row["sentence1"], row["sentence2"], row.get("negative")) for row in made.rows] == [
        ("a cat", "an animal", "a dog"),
        ("a cat", "it is", "a dog"),
        ("the cow", "a cow", None),
    ]
    assert made.line_numbers == [2, 5, 7]
    assert made.dropped == {"neutral pairs, which say nothing": 1, "texts apart from one without a match": 1}


@pytest.mark.parametrize(
    ("text", "asked", "task"),
    [
        ("sentence1,sentence2,score\na b,c,1\nd,e,5\n", "embed", EmbedTask("score", "score", 1, 5)),
        ("sentence1,sentence2,score\na b,c,0.1\nd,e,.9\n", "embed", EmbedTask("score", "score", 0, 1)),
        ("anchor,positive,negative\na b,c,d\n", None, EmbedTask("rank", "rank")),
        ("query,passage\na b,c d\n", "embed", EmbedTask("rank", "rank")),
        ("question1,question2,is_duplicate\na b,c,1\nd,e,0\n", "embed", EmbedTask("rank", "rank")),
    ],
)
def test_what_is_learnt_follows_from_the_columns(text: str, asked: str | None, task: EmbedTask) -> None:
    assert infer_task(parsed(text), asked).task == task
    assert EmbedTask.from_settings(task.settings()) == task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\na,1\nb,0\n", r"vectors are learnt from pairs"),
        ("sentence1,sentence2,label\na,b,0\nc,d,2\ne,f,1\n", r"do not say which pairs match \(0, 1, 2\)"),
        ("sentence1,sentence2,score\na,b,2\nc,d,2\n", r"one score only, 2"),
    ],
)
def test_what_cannot_be_learnt_is_refused(text: str, message: str) -> None:
    with pytest.raises(BertworksError, match=message):
        infer_task(parsed(text), "embed")


def test_a_column_of_figures_called_negative_is_no_text() -> None:
    table = parse_table(b"text,label,negative\nfine,pos,0.1\nbad,neg,0.9\n", "rows.csv")
    assert "negative" not in table.columns


def loss_of(rows: list[dict[str, Any]], tokenizer: Tokenizer, vectors: dict[str, list[float]]) -> float:
    task = EmbedTask("rank", "rank")
    windows = task.windows(rows, tokenizer, 40)
    texts = [text for row in rows for text in row.values()]
    logits = torch.tensor([vectors[text] for text in texts], dtype=torch.float64)
    return float(task.loss_sum(logits, task.targets(windows), task.weights(windows)))


def test_what_matches_is_no_negative_of_the_update(tokenizer: Tokenizer) -> None:
    place = {"the cat": [1.0, 0.0], "The cat!": [1.0, 0.0], "red": [0.8, 0.6], "blue": [0.6, 0.8], "tin": [0.0, 1.0]}
    first, twin = {"sentence1": "the cat", "sentence2": "red"}, {"sentence1": "The cat!", "sentence2": "blue"}
    assert loss_of([first, twin], tokenizer, place) == 0, "both match one text"
    same = {"sentence1": "tin", "sentence2": "red"}
    assert loss_of([first, same], tokenizer, place) == 0, "both have one match"
    other = {"sentence1": "tin", "sentence2": "blue"}
    assert loss_of([first, other], tokenizer, place) > 0.01
    apart = {**other, "negative": "red"}  # a match of the first row, apart from the second
    expected = -torch.log_softmax(20 * torch.tensor([[0.8, 0.6, -torch.inf], [0.6, 0.8, 0.6]], dtype=torch.float64), -1)
    found = loss_of([first, apart], tokenizer, place)
    assert found == pytest.approx(float(expected[0, 0] + expected[1, 1]), rel=1e-6)
    two = loss_of([first, twin, other], tokenizer, place)
    rows = 20 * torch.tensor([[0.8, -torch.inf], [-torch.inf, 0.6], [0.6, 0.8]], dtype=torch.float64)
    logs = -torch.log_softmax(rows, -1)
    assert two == pytest.approx(float(logs[2, 1]), rel=1e-6), "blue is the first text's match too"


def test_labels_of_dev_are_those_of_train() -> None:
    task, train = EmbedTask("rank", "rank"), parsed(NLI)
    short = parsed("premise,hypothesis,label\na cat,an animal,E\na cat,a dog,C\n")
    with pytest.raises(BertworksError, match=r"rows\.csv:2: label `e` does not say whether the pair matches"):
        with_matches(task, train, {"dev": short})
    found = lint({"train": train, "dev": short}, task="embed").findings
    assert [finding.check for finding in found if finding.level == "error"] == ["unfit"]
    with pytest.raises(BertworksError, match=r"no pair matches"):
        with_matches(task, train, {"dev": parsed("premise,hypothesis,label\na cat,a dog,contradiction\n")})
    _, learnt, others = with_matches(task, train, {"dev": train, "test": parsed("premise,hypothesis\na,b\n")})
    assert (len(learnt.rows), len(others["dev"].rows), len(others["test"].rows)) == (3, 3, 1)
    kinds = parsed("anchor,positive,negative,label\na,b,c,E\nd,e,f,C\n")
    _, learnt, others = with_matches(task, kinds, {"dev": kinds})
    assert (len(learnt.rows), len(others["dev"].rows)) == (2, 2), "beside a negative, labels say something else"


@pytest.mark.parametrize("label", ["yes", "", None, "nan"])
def test_to_predict_a_pair_needs_no_score(tokenizer: Tokenizer, label: str | None) -> None:
    row = {"sentence1": "a cat", "sentence2": "red", "label": label}
    for task in (EmbedTask("score", "score", 1, 5), RerankTask(1, 5)):
        windows = task.windows([row, {**row, "label": "3"}], tokenizer, 40)
        assert {window.target for window in windows} == {None, 0.5}
        with pytest.raises(BertworksError, match=r"row 1 has no score"):
            task.targets(windows)
