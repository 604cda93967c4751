"""Tagging: windows lose no word, one decoder, gold untouched, offsets in the text; transformers' model and loss."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import seqeval.metrics
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.bert import BertForTokens
from bertworks.model.config import BertConfig
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import save_pretrained
from bertworks.predict.run import predict_rows, window_logits
from bertworks.read.tables import parse_table
from bertworks.tasks.infer import TagWishes, infer_task, tag_task
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.labels import Labels
from bertworks.tasks.tagging import TagAnswer, TagTask, TagWindow
from bertworks.tasks.task import Row, coverage
from bertworks.tasks.words import split_text
from bertworks.text.tokenizer import Tokenizer
from finetune_support import vocabulary

TAGS = ("B-PER", "I-PER", "B-LOC", "I-LOC", "O")
TASK = TagTask(Labels(TAGS))
CONFIG = BertConfig(36, 24, 2, 3, 52, max_position_embeddings=40, initializer_range=0.5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(vocabulary(tmp_path_factory.mktemp("tags") / "vocab"), lowercase=True)


def row(words: str, tags: str = "") -> Row:
    return {"tokens": words.split(), **({"tags": tags.split()} if tags else {})}


def words_of(draw: np.random.Generator, number: int) -> list[str]:
    return draw.choice(["cats", "reddish", "the", "zzz", "\u200b", "un", "gold", "."], number).tolist()


def test_windows_read_the_first_piece_of_every_word_once(tokenizer: Tokenizer) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"tokens": (words := words_of(draw, n)), "tags": draw.choice(TAGS, len(words)).tolist()} for n in (0, 5, 90)
    ]
    windows = TASK.windows(rows, tokenizer, 16)
    assert len(windows) > 8
    assert coverage(windows).share == 1.0
    assert coverage(windows).words == 95
    for number, one in enumerate(rows):
        mine = [window for window in windows if window.row == number]
        assert all(isinstance(window, TagWindow) for window in mine)
        read = [place for window in mine for place in window.words_read.tolist()]  # type: ignore[attr-defined]
        assert read == list(range(len(one["tokens"])))
        for window in mine:
            assert isinstance(window, TagWindow)
            assert len(window.input_ids) <= 16
            for place, word in zip(window.places.tolist(), window.words_read.tolist(), strict=True):
                pieces = tokenizer.encode([one["tokens"][word]])[0]
                first = pieces[0] if len(pieces) else tokenizer.unk_token_id
                assert window.input_ids[place] == first
            assert [TAGS[tag] for tag in window.tags] == [one["tags"][word] for word in window.words_read]
    assert TASK.loss_count(windows) == 95


def test_loss_is_transformers_mean_over_words(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [row("the old cats saw gold", "O O B-PER I-PER B-LOC"), row("reddish iron", "I-LOC X-NEW")]
    windows = TASK.windows(rows, tokenizer, 40)
    model = BertForTokens.new(CONFIG, len(TAGS), torch.Generator().manual_seed(3)).eval()
    save_pretrained(model, tmp_path / "m", settings=TASK.config_keys())
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "m").eval()
    assert theirs.config.id2label == dict(enumerate(TAGS))
    length = max(len(window.input_ids) for window in windows)
    ids = np.stack([np.pad(window.input_ids, (0, length - len(window.input_ids))) for window in windows])
    labels = np.full(ids.shape, -100)
    for i, window in enumerate(windows):
        assert isinstance(window, TagWindow)
        labels[i, window.places] = np.where(window.tags < 0, -100, window.tags)
    mask = np.arange(length) < np.array([[len(window.input_ids)] for window in windows])
    told = theirs(
        input_ids=torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).long(),
        labels=torch.from_numpy(labels).long(),
    )  # fmt: skip
    with torch.no_grad():
        batch = pad_rows([window.input_ids for window in windows], None).reading([window.places for window in windows])
        logits = model(batch)
    flat = told.logits.detach()[torch.from_numpy(np.nonzero(labels != -100)[0]), np.nonzero(labels != -100)[1]]
    known = TASK.weights(windows).bool()
    torch.testing.assert_close(logits[known], flat, atol=1e-5, rtol=0)
    ours = TASK.loss_sum(logits, TASK.targets(windows), TASK.weights(windows)) / TASK.loss_count(windows)
    assert TASK.loss_count(windows) == 6, "a tag that training does not know is not learnt"
    torch.testing.assert_close(ours, told.loss.detach(), atol=1e-5, rtol=0)


def test_answers_do_not_depend_on_windows_or_neighbours(tokenizer: Tokenizer) -> None:
    draw = np.random.default_rng(1)
    rows: list[Row] = [{"tokens": words_of(draw, n)} for n in (3, 30, 1, 0, 12)]
    model = BertForTokens.new(CONFIG, len(TAGS), torch.Generator().manual_seed(4)).eval()
    together = predict_rows(model, TASK, tokenizer, rows, max_length=40).answers
    for one, answer in zip(rows, together, strict=True):
        assert isinstance(answer, TagAnswer)
        alone = predict_rows(model, TASK, tokenizer, [one], max_length=40, token_budget=40).answers[0]
        assert isinstance(alone, TagAnswer)
        assert alone.tags == answer.tags
        assert alone.scores == pytest.approx(answer.scores, abs=1e-5)
        assert len(answer.tags) == len(one["tokens"])
    cut = predict_rows(model, TagTask(Labels(TAGS), truncation="truncate"), tokenizer, rows[1:2], max_length=16)
    assert isinstance(cut.answers[0], TagAnswer)
    assert len(cut.answers[0].tags) == 30
    assert cut.answers[0].tags[-1] == "O", "what was not read is tagged as nothing"
    assert cut.coverage.share < 1


def test_one_decoder_makes_legal_tags(tokenizer: Tokenizer) -> None:
    rows = [row(" ".join(words_of(np.random.default_rng(seed), 9))) for seed in range(30)]
    model = BertForTokens.new(CONFIG, len(TAGS), torch.Generator().manual_seed(5)).eval()
    windows = TASK.windows(rows, tokenizer, 40)
    logits = window_logits(model, windows)
    legal = [answer.tags for answer in TASK.decode(rows, windows, logits)]
    free = [answer.tags for answer in TagTask(Labels(TAGS), decoder="argmax").decode(rows, windows, logits)]
    assert legal != free
    assert [list(map(int, each.argmax(-1))) for each in logits] == [[TAGS.index(tag) for tag in tags] for tags in free]
    for tags in legal:
        assert all(
            not tag.startswith("I-") or before[1:] == tag[1:] for before, tag in zip(["O", *tags], tags, strict=False)
        )


def test_scores_are_seqevals_and_gold_is_not_touched() -> None:
    draw = np.random.default_rng(2)
    rows, answers = [], []
    for length in (7, 1, 40, 0, 25):
        gold = draw.choice([*TAGS, "B-NEW"], length).tolist()
        said = [tag if tag in TAGS and draw.random() < 0.8 else "O" for tag in gold]
        words = [f"w{i}" for i in range(length)]
        rows.append({"tokens": words, "tags": gold})
        answers.append(TagAnswer(words, [], "", said, [1.0] * length))
    found = TASK.score(answers, rows)
    gold, said = [one["tags"] for one in rows], [answer.tags for answer in answers]
    assert found["f1"] == pytest.approx(seqeval.metrics.f1_score(gold, said))
    assert found["precision"] == pytest.approx(seqeval.metrics.precision_score(gold, said))
    assert found["accuracy"] == pytest.approx(seqeval.metrics.accuracy_score(gold, said))
    strict = seqeval.metrics.f1_score(gold, said, mode="strict", scheme=seqeval.scheme.IOB2)
    assert found["f1_exact"] == pytest.approx(strict)
    assert 0 < found["f1_exact"] != found["f1"] > 0
    assert list(found) == list(TASK.metrics)
    with pytest.raises(ValueError, match="4 answers for 5 rows"):
        TASK.score(answers[:4], rows)


def test_the_task_is_told_from_the_file() -> None:
    table = parse_table(b"EU I-ORG\nsays O\nUN I-ORG\nWHO B-ORG\n\nRome I-LOC\n. O\n", "x.conll")
    found = infer_task(table)
    assert found.because == "`1` holds words and `2` tags"
    task = found.task
    assert isinstance(task, TagTask)
    assert (task.scheme, task.written, task.unit) == ("bio", "iob1", "word")
    assert task.gold(table.rows[0], "") == ["B-ORG", "O", "B-ORG", "B-ORG"]
    assert task_from_settings(task.settings()) == task
    assert task.recounted(table.rows[1:]).labels.counts == (1, 0, 1)
    bioes = tag_task(table, wishes=TagWishes("bioes", "argmax"))
    assert (bioes.scheme, bioes.decoder) == ("bioes", "argmax")
    assert bioes.gold(table.rows[0], "") == ["S-ORG", "O", "S-ORG", "S-ORG"]
    chinese = tag_task(parse_table("科0\tB-X\n学1\tI-X\n\n我0\tO\n".encode(), "x.conll"))
    assert chinese.unit == "character"
    plain = tag_task(parse_table(b"the DET\ncat NOUN\n\nsat VERB\n. PUNCT\n", "x.conll"))
    assert plain.metrics == ("accuracy", "f1_macro")
    with pytest.raises(BertworksError, match="its tags mark no spans"):
        tag_task(parse_table(b"the DET\ncat NOUN\n\nsat VERB\n. PUNCT\n", "x.conll"), wishes=TagWishes("bio"))
    for content, told in (
        (b"a O\nb O\n\nc O\n", "one tag only, `O`"),
        (b"a O\nb O x\n\nc O\n", "x.conll:2: 3 columns, other lines have 2"),
    ):
        with pytest.raises(BertworksError, match=told):
            tag_task(parse_table(content, "x.conll"))
    for tags in ("O", ["O"], None, ["O", 3]):
        with pytest.raises(BertworksError, match="here:7: "):
            TASK.gold({"tokens": ["a", "b"], "tags": tags}, "here:7")


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab .,—()我们😀é\u0301\u00a0\u200d\n"), max_size=30),
    st.sampled_from(["word", "character"]),
)
def test_words_of_a_text_cover_it(text: str, unit: str) -> None:
    spans = split_text(text, unit)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


def test_entities_stand_in_the_text() -> None:
    text = "  Ann  Lee (Rome), 我们 "
    task = TagTask(Labels(TAGS))
    words, _, whole = task.words({"text": text}, "")
    assert words == ["Ann", "Lee", "(", "Rome", ")", ",", "我", "们"]
    tags = ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "O", "O"]
    logits = np.array([[10.0 * (name == tag) for name in TAGS] for tag in tags])
    window = TagWindow(np.zeros(10, np.int32), np.zeros(10, np.int8), 0, None, 1.0, 8, 8, None, np.arange(8))
    told = task.decode([{"text": text}], [window], [logits])[0].to_json()
    assert [(one["label"], one["text"], text[one["start"] : one["end"]]) for one in told["entities"]] == [
        ("PER", "Ann  Lee", "Ann  Lee"),
        ("LOC", "Rome", "Rome"),
    ]
    assert whole == text
    joined = task.words({"tokens": ["Ann", "Lee"]}, "")
    assert joined[2] == "Ann Lee"
    assert [joined[2][start:end] for start, end in joined[1]] == ["Ann", "Lee"]
