"""The task that docs/extend.md adds is a whole task: it does what the protocol asks."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.layout import pad_rows
from bertworks.read.tables import parse_table
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.task import Task, coverage
from bertworks.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def count_task(checkout: Path) -> type[Any]:
    text = (checkout / "docs" / "extend.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = types.ModuleType("count_task")
    sys.modules["count_task"] = module  # dataclasses look their module up
    exec(compile(block, "docs/extend.md", "exec"), module.__dict__)
    found: type[Any] = module.CountTask
    return found


def test_it_offers_all_of_the_protocol(count_task: type[Any]) -> None:
    promised = {name for name in vars(Task) if not name.startswith("_")}
    assert len(promised) > 12
    for task in (count_task(), SentenceTask("score", False)):
        for name in promised:
            assert hasattr(task, name), name
            if inspect.isfunction(getattr(Task, name)):
                wanted = list(inspect.signature(getattr(Task, name)).parameters)[1:]
                assert list(inspect.signature(getattr(task, name)).parameters) == wanted


def test_it_learns_and_answers(count_task: type[Any], tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "two", "many"]) + "\n")
    tokenizer = Tokenizer.load(vocab)
    table = parse_table(f"text,label\none,1\ntwo,2\n{'many ' * 100},9\n".encode(), "t.csv")
    task = count_task.from_settings(count_task().settings())
    task.check(table)
    windows = task.windows(table.rows, tokenizer, 32)
    assert len(windows) > 3
    assert coverage(windows).share == 1.0
    assert task.loss_count(windows) == pytest.approx(3)
    targets, weights = task.targets(windows), task.weights(windows)
    best = targets.log()[:, None].requires_grad_()
    task.loss_sum(best, targets, weights).backward()
    assert best.grad is not None
    assert best.grad.abs().max() < 1e-5  # Poisson's loss is least at the logarithm of the count
    worse = task.loss_sum(best.detach() + 0.5, targets, weights)
    assert worse > task.loss_sum(best.detach(), targets, weights) + 0.1
    answers = task.decode(table.rows, windows, best.detach().numpy())
    assert [answer.to_json()["count"] for answer in answers] == pytest.approx([1, 2, 9], rel=1e-5)
    assert task.score(answers, table.rows)["spearman"] == pytest.approx(1.0)
    config = BertConfig(vocab_size=23, hidden_size=6, num_attention_heads=3, intermediate_size=7, num_hidden_layers=1)
    network = task.network.new(config, task.num_outputs)
    assert network(pad_rows([window.input_ids for window in windows], None)).shape == (len(windows), 1)
    assert np.isfinite(float(worse))
    with pytest.raises(BertworksError, match=r"t.csv:3: `x` is not a count"):
        task.check(parse_table(b"text,label\na,1\nb,x\n", "t.csv"))
