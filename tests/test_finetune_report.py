"""The report says what result.json says, loads nothing, and never costs a run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bertworks.finetune import outcome, study
from bertworks.finetune.page import Page, Section, Table, Text, escaped, fenced, to_html, to_markdown
from bertworks.finetune.report import page_of
from bertworks.finetune.run import finetune
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, write_rows, write_tags
from report_support import figures_of, read_page

EVIL = '<script>alert("x")</script> | `a` & *b* '
FIGURE = re.compile(r"-?\d+\.\d{4}")


def write_questions(path: Path, number: int) -> Path:
    entries = []
    for i, row in enumerate(toy_rows(number)):
        place, word = next((row["text"].index(w), w) for w in KINDS[row["label"]] if w in row["text"].split())
        answers = [] if i % 4 == 0 else [{"text": word, "answer_start": place}]
        question = {"id": str(i), "question": f"{EVIL}the ?", "answers": answers, "is_impossible": not answers}
        entries.append({"context": row["text"], "qas": [question]})
    path.write_text(json.dumps({"data": [{"paragraphs": entries}]}))
    return path


def write_scores(path: Path, number: int) -> Path:
    rows = [{"text": EVIL + row["text"], "score": list(KINDS).index(row["label"]) + 0.5} for row in toy_rows(number)]
    return write_rows(path, rows)


def write_classes(path: Path, number: int) -> Path:
    return write_rows(path, [{"text": EVIL + row["text"], "label": f"<b>{row['label']}"} for row in toy_rows(number)])


def write_labels(path: Path, number: int) -> Path:
    rows = [
        {"text": EVIL + row["text"], "label": [row["label"], "<i>"][: 1 + i % 2]}
        for i, row in enumerate(toy_rows(number))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_words(path: Path, number: int) -> Path:
    rows = [{**row, "text": f"<script>x</script> {row['text']}"} for row in toy_rows(number)]
    return write_tags(path, rows)


def write_frames(path: Path, number: int) -> Path:
    rows = [{"tokens": row["text"].split(), "label": f"<b>{row['label']}"} for row in toy_rows(number)]
    telling = {word for words in KINDS.values() for word in words}
    made = [{**row, "tags": ["B-x" if word in telling else "O" for word in row["tokens"]]} for row in rows]
    made = [{**row, "tokens": ["<script>", *row["tokens"]], "tags": ["O", *row["tags"]]} for row in made]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, int], Path]]] = {
    "classify": ("csv", write_classes),
    "score": ("csv", write_scores),
    "labels": ("jsonl", write_labels),
    "tag": ("conll", write_words),
    "intent-slots": ("jsonl", write_frames),
    "qa": ("json", write_questions),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    model_folder(folder / "start", positions=120)
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_pictures() -> Iterator[None]:
    """curves.png and confusion.png are tested elsewhere, and take longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "draw", lambda *given: None)
        yield


@pytest.fixture(scope="module", params=WRITERS)
def run(request: pytest.FixtureRequest, place: Path) -> Path:
    name: str = request.param
    ending, write = WRITERS[name]
    train, test = write(place / f"{name}.{ending}", 60), write(place / f"{name}-test.{ending}", 33)
    sizes: dict[str, object] = {"train__steps": 6, "train__batch_size": 4}
    recipe = toy_recipe(place / "start", train, data__test=str(test), data__task=name, **sizes)
    return finetune(recipe, place / f"run-{name}").run


def result_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text())
    return found


def test_the_page_is_whole_and_by_itself(run: Path) -> None:
    page = read_page(run / "report.html")
    assert [level for level, _ in page.headings].count("h1") == 1
    titles = [title for level, title in page.headings if level == "h2"]
    assert titles[:3] == ["Result", "What was read and decided", "Learning curves"]
    assert titles[-3:] == ["Coverage and rows left out", "Time, machine, versions", "To repeat it"]
    assert "Worst errors" in titles
    assert "svg" in page.tags
    assert "<script>" in page.texts, "shown as text"
    assert "recipe.toml" in page.texts


def test_its_numbers_are_those_of_result_json(run: Path) -> None:
    page, result = read_page(run / "report.html"), result_of(run)
    known = figures_of(result) | figures_of(
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    )
    shown = [figure for table in page.tables for row in table.rows for cell in row for figure in FIGURE.findall(cell)]
    assert len(shown) > 10
    assert set(shown) <= known
    metrics = page.table("Figures of the best evaluation's model")
    header, *rows = metrics.rows
    by_name = {row[0]: dict(zip(header[2:], row[2:], strict=True)) for row in rows}
    for split, figures in result["metrics"].items():
        assert by_name[split] == {name: f"{value:.4f}" for name, value in figures.items()}
    for name, caption in (("by_class", "By class"), ("by_kind", "By kind")):
        if name in result:
            header, *rows = page.table(caption).rows
            wanted = {of: [float(value) for value in told.values()] for of, told in result[name]["test"].items()}
            told = {row[0]: [float(cell.replace(",", "")) for cell in row[1:]] for row in rows}
            assert told.keys() == wanted.keys()
            for of, values in told.items():
                assert values == pytest.approx(wanted[of], abs=5e-5)
    assert ("confidence" in result) == (result["task"] != "score")


def test_markdown_says_the_same(run: Path) -> None:
    page, text = read_page(run / "report.html"), (run / "report.md").read_text()
    for level, title in page.headings:
        if level == "h2":
            assert f"## {title}\n" in text
    shown = {f for table in page.tables for row in table.rows for cell in row for f in FIGURE.findall(cell)}
    assert shown <= set(FIGURE.findall(text))
    outside = re.sub(r"(`{3,})\n.*?\n\1", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<script", outside), "Markdown lets HTML through"


def test_bad_cases_are_the_wrong_rows_worst_first(run: Path) -> None:
    result = result_of(run)
    cases = [json.loads(line) for line in (run / "bad_cases.jsonl").read_text().splitlines()]
    answers = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    assert cases
    assert all(list(case) == ["line", "gold", "answer", "score", "row"] for case in cases)
    by_line = {answer["line"]: answer for answer in answers}
    for case in cases:
        assert case["row"] == by_line[case["line"]]["row"]
        assert case["answer"] == by_line[case["line"]]["answer"]
    if result["task"] != "qa":
        scores = [case["score"] for case in cases]
        assert scores == sorted(scores, reverse=True)
    if result["task"] == "classify":
        wrong = {a["line"] for a in answers if a["answer"]["label"] != a["row"]["label"]}
        assert {case["line"] for case in cases} == wrong
        assert all(case["score"] == pytest.approx(case["answer"]["score"], abs=1e-5) for case in cases)
        assert len(wrong) == round((1 - result["metrics"]["test"]["accuracy"]) * 33)
    if result["task"] == "qa":
        assert len(cases) >= (1 - result["metrics"]["test"]["f1"]) * 33
    if result["task"] == "labels":
        assert len(cases) == round((1 - result["metrics"]["test"]["exact_match"]) * 33)


def test_a_report_that_fails_costs_no_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: object) -> None:
        raise ZeroDivisionError("no such luck")

    train = write_classes(tmp_path / "train.csv", 40)
    monkeypatch.setattr(outcome, "page_of", fail)
    monkeypatch.setattr(study, "page_of_study", fail)
    recipe = toy_recipe(place / "start", train, train__steps=2, train__seeds=2)
    with caplog.at_level("WARNING"):
        done = finetune(recipe, tmp_path / "study")
    assert [r.message for r in caplog.records].count(
        "the report is not whole, ZeroDivisionError: no such luck; every figure is in result.json"
    ) == 3
    assert done.metrics["dev"]
    assert (tmp_path / "study" / "seed-1" / "result.json").exists()
    assert not (tmp_path / "study" / "report.html").exists()


def test_a_run_killed_while_it_draws_goes_on(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*given: object) -> None:
        raise Killed

    train = write_classes(tmp_path / "train.csv", 40)
    recipe = toy_recipe(place / "start", train, train__steps=4, train__checkpoint_every=3, train__calibrate=True)
    whole = finetune(recipe, tmp_path / "whole").content
    monkeypatch.setattr(outcome, "page_of", kill)
    with pytest.raises(Killed):
        finetune(recipe, tmp_path / "cut")
    assert not (tmp_path / "cut" / "result.json").exists()
    monkeypatch.setattr(outcome, "page_of", page_of)
    again = finetune(recipe, tmp_path / "cut").content
    for name in ("metrics", "calibration", "ece", "ece_before", "by_class", "confidence", "interval"):
        assert again[name] == whole[name], name
    assert (tmp_path / "cut" / "report.html").read_text().count("<svg") == (
        tmp_path / "whole" / "report.html"
    ).read_text().count("<svg")


def test_one_page_over_all_seeds(place: Path, tmp_path: Path) -> None:
    train = write_classes(tmp_path / "train.csv", 40)
    result = finetune(toy_recipe(place / "start", train, train__steps=2, train__seeds=2), tmp_path / "study").content
    page = read_page(tmp_path / "study" / "report.html")
    header, *rows = page.table("Mean ± standard deviation over 2 seeds").rows
    mean, sd = result["mean"]["dev"], result["sd"]["dev"]
    assert rows[0][2:] == [f"{mean[name]:.4f} ± {sd[name]:.4f}" for name in header[2:]]
    each = page.table("Each seed").rows[1:]
    assert [row[0] for row in each] == ["0", "1"]
    assert [row[3] for row in each] == [f"{entry['metrics']['dev']['accuracy']:.4f}" for entry in result["seeds"]]
    shown = [figure for table in page.tables for row in table.rows for cell in row for figure in FIGURE.findall(cell)]
    assert set(shown) <= figures_of(result)
    assert result["interval"]["dev"]["by"] == "Student's t over seeds"
    assert "by_class" not in result
    for seed in range(2):
        read_page(tmp_path / "study" / f"seed-{seed}" / "report.html")


def test_texts_are_escaped_in_both_forms() -> None:
    page = Page(EVIL, EVIL, [Section("S", [Text(EVIL), Table("t", [EVIL, "n"], [[EVIL, "1.5"], ["b\nc", "2"]])])])
    assert "<script" not in to_html(page)
    text = to_markdown(page)
    assert r"\<script\>" in text
    assert "| b c | 2 |" in text
    assert len(re.findall(r"(?<!\\)\|", text.split("\n")[-3])) == 3
    assert escaped("a_b*c") == r"a\_b\*c"
    assert fenced("a ``` b").startswith("````\n")


@pytest.mark.slow  # a browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_draws_it_without_a_word(run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--v=0",
        "--window-size=1000,2000",
    ]
    done = subprocess.run(
        ["chromium", *words, f"--screenshot={picture}", f"file://{run / 'report.html'}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(picture.read_bytes()) > 30_000, "not a blank page"
    assert "CONSOLE" not in done.stderr
