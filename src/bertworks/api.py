"""What `import bertworks` hands out: `load`, `finetune`, and `TextClassifier`, a scikit-learn estimator.

Models that are loaded compute in float32 unless told otherwise, `finetune` as the command does. Nothing is printed
unless a program listens to the logger `bertworks`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from bertworks.base.errors import BertworksError
from bertworks.base.places import find_recipe
from bertworks.tasks.names import TaskName

if TYPE_CHECKING:
    from bertworks.finetune.estimator import TextClassifier as TextClassifier
    from bertworks.finetune.outcome import FinetuneResult
    from bertworks.model.bert import BertForPreTraining
    from bertworks.model.encoder import BertEncoder
    from bertworks.predict.attributions import Explanation
    from bertworks.predict.directory import ModelDirectory
    from bertworks.predict.fill import Fill
    from bertworks.tasks.embedding import EmbedAnswer
    from bertworks.tasks.task import Answer
    from bertworks.text.tokenizer import Tokenizer

AnyPath = str | os.PathLike[str]
AnyRow = str | tuple[str, str] | Mapping[str, Any]
Dtype = Literal["auto", "float32", "bfloat16"]


def load(path: AnyPath, *, device: str = "cpu", dtype: Dtype = "float32") -> Model:
    """Open a model: a run directory, a Hugging Face directory, or "bertworks-mini".

    device  "cpu", "cuda", "cuda:1", or "auto" for the best there is
    dtype   "auto" takes bfloat16 where the machine has instructions for it
    Raises BertworksError where there is no model of that name.
    """
    from bertworks.base.places import find_model

    return Model(find_model(Path(path)), device=device, dtype=dtype)


class Model:
    """A model directory; each part is read when it is first needed."""

    def __init__(self, path: Path, *, device: str = "cpu", dtype: Dtype = "float32") -> None:
        from bertworks.engine.precision import choose_device, choose_dtype

        self.path = path
        self._device = choose_device(device)
        self._dtype, _ = choose_dtype(dtype, self._device)

    def __repr__(self) -> str:
        return f"bertworks.load({str(self.path)!r})"

    @property
    def task(self) -> str | None:
        """What the model answers: a word of `--task`; None where it was not fine-tuned."""
        from bertworks.predict.directory import task_of

        found = task_of(self.path)
        return None if found is None else found.name

    @property
    def labels(self) -> list[str]:
        """Classes or tags in the order of the outputs; none for a score. Raises BertworksError where there are none."""
        return list(self._answering.task.labels.names)

    def predict(self, rows: Sequence[AnyRow]) -> list[Answer]:
        """One answer a row, in order: of its task, as `to_json` of each tells (docs/formats.md).

        rows  texts; pairs of texts as tuples; or dicts by role: `text`; `sentence1` and `sentence2`; `tokens`, words to
              be tagged; `question` and `context`; `context` or `question` or both, with `choices`
        Raises BertworksError where the model was not fine-tuned, or a row is not what it reads.
        """
        from bertworks.predict.evaluate import check_shape, for_rows
        from bertworks.predict.run import predict_rows
        from bertworks.predict.texts import table_of

        if not len(rows):
            return []
        table = table_of(rows)
        opened = for_rows(self._answering, table)
        check_shape(opened, table)
        found = predict_rows(opened.model, opened.task, opened.tokenizer, table.rows, max_length=opened.max_length)
        return found.answers

    def explain(self, row: AnyRow, *, of: str | int | None = None) -> Explanation:
        """Which tokens moved the answer for one row: integrated gradients on word embeddings, adding up within 1 %.

        row  as of `predict`
        of   of classes and labels another label than the answer; of tags the number of a word, from 0, where None is
             the surest one that is not outside
        The tokens' values add up to f(row) - f(row with every word masked), where f is the log odds of a class, label
        or tag, the score, or the log probability of a stretch; `gap` says what is missing.
        Raises BertworksError for a label the model does not know, and as `predict`.
        """
        from bertworks.predict.evaluate import check_shape, for_rows
        from bertworks.predict.explain import check_focus, explain_rows
        from bertworks.predict.texts import table_of

        table = table_of([row])
        opened = for_rows(self._answering, table)
        check_shape(opened, table)
        answers = self.predict([row])
        check_focus(opened.task, of, answers[0])
        (found,) = explain_rows(
            opened.model,
            opened.task,
            opened.tokenizer,
            table.rows,
            answers,
            max_length=opened.max_length,
            focus=[of],
        )
        assert found is not None
        return found

    def encode(
        self,
        texts: Sequence[str],
        *,
        layers: int | Sequence[int] | Literal["all"] = -1,
        pooling: str = "mean",
        unit: str = "text",
        max_length: int | None = None,
    ) -> Any:
        """Vectors of texts: float32 (n, hidden), the mean over the pieces of the last layer.

        layers   0 = after the embeddings, 1 … = after each layer, negative from the end; several, or "all"
        pooling  "mean", "cls" or "max"
        unit     "piece" gives a list of (T, hidden), or (layers, T, hidden) where several are asked for
        A text longer than the model is read in overlapping windows. A model of `--task embed` gives the vectors that it
        was trained to give, those of `predict`.
        """
        from bertworks.predict.encode import encode

        if isinstance(texts, str):
            raise BertworksError("one text was given where a list of texts is wanted", "write [text]")
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise BertworksError(f"text {number} is {text!r:.60}, not a text", "give a list of strings")
        usual = (layers, pooling, unit, max_length) == (-1, "mean", "text", None)
        if usual and len(texts) and self.task == "embed":  # as it was trained, long texts included
            import numpy as np

            answers = cast("list[EmbedAnswer]", self.predict(texts))
            return np.stack([answer.vectors[0] for answer in answers])
        return encode(
            self._encoder, self._tokenizer, texts, layers=layers, pooling=pooling, unit=unit, max_length=max_length
        )

    def fill(self, text: str, *, top: int = 5) -> Fill:
        """Guess what stands behind each [MASK] of a text: every mask by itself, and all of them one by one.

        Raises BertworksError where there is no mask, or the model has no masked-token head.
        """
        from bertworks.predict.fill import fill

        return fill(self._filling, self._tokenizer, text, top=top)

    @cached_property
    def _answering(self) -> ModelDirectory:
        from bertworks.predict.directory import load_model

        opened = load_model(self.path)
        opened.model.to(self._device, self._dtype)
        return opened

    @cached_property
    def _encoder(self) -> BertEncoder:
        from bertworks.model.pretrained import load_encoder

        encoder, _, _ = load_encoder(self.path)
        return encoder.to(self._device, self._dtype).eval()

    @cached_property
    def _filling(self) -> BertForPreTraining:
        from bertworks.predict.directory import load_masked

        return load_masked(self.path).to(self._device, self._dtype).eval()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from bertworks.model.pretrained import read_config
        from bertworks.predict.directory import load_tokenizer

        return load_tokenizer(self.path, read_config(self.path))


def finetune(
    *,
    train: AnyPath,
    out: AnyPath,
    model: AnyPath | None = None,
    dev: AnyPath | None = None,
    test: AnyPath | None = None,
    vocab: AnyPath | None = None,
    task: TaskName | None = None,
    columns: Mapping[str, str] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    dropout: float | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    patience: int | None = None,
    metric: str | None = None,
    dtype: Dtype | None = None,
    threads: int | None = None,
    recipe: AnyPath | None = None,
    resume: bool = True,
    overwrite: bool = False,
) -> FinetuneResult:
    """What `bertworks finetune` does, with the same defaults: what is None here is as the recipe says.

    model   a run, a model directory, or "bertworks-mini", the default
    recipe  a TOML file with any of the recipe's keys, or a name of a built-in one; what is given here goes over it
    Returns the run's folder and its figures: `result.metrics["dev"]["accuracy"]`. `load(out)` opens the best model.
    Raises BertworksError for rows or a start that do not fit, and for an `out` that holds something else.
    """
    from bertworks.base import recipe as recipes
    from bertworks.finetune.recipe import FinetuneRecipe
    from bertworks.finetune.run import finetune as run

    given: dict[str, object] = {
        "model.start": model and os.fspath(model),
        "model.vocab": vocab and os.fspath(vocab),
        "model.dropout": dropout,
        "data.train": os.fspath(train),
        "data.dev": dev and os.fspath(dev),
        "data.test": test and os.fspath(test),
        "data.task": task,
        "data.columns": dict(columns) if columns else None,
        "data.max_length": max_length,
        "train.epochs": epochs,
        "train.steps": steps,
        "train.lr": lr,
        "train.batch_size": batch_size,
        "train.seed": seed,
        "train.seeds": seeds,
        "train.patience": patience,
        "train.metric": metric,
        "machine.dtype": dtype,
        "machine.threads": threads,
    }
    settled = recipes.load(FinetuneRecipe, find_recipe(recipe), {key: v for key, v in given.items() if v is not None})
    return run(settled, Path(out), resume=resume, overwrite=overwrite)


def __getattr__(name: str) -> Any:
    """`TextClassifier`, which needs scikit-learn, is loaded on first use."""
    if name != "TextClassifier":
        raise AttributeError(f"module `bertworks.api` has no attribute `{name}`")
    from bertworks.finetune.estimator import TextClassifier

    return TextClassifier
