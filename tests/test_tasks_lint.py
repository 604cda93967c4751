"""Checks on labelled rows: each planted fault is found, at its place, and clean rows raise nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from bertworks.read.tables import Table, parse_table
from bertworks.tasks.lint.finding import Finding
from bertworks.tasks.lint.report import Report, lint
from bertworks.tasks.lint.suspicious import out_of_fold, suspicions

Run = Callable[..., "CompletedProcess[str]"]
PLACES = ["Rome", "Oslo", "Lima", "Cairo", "Quito", "Delhi", "Kyoto", "Turin", "Perth", "Accra"]
THINGS = ["card", "loan", "transfer", "cheque", "deposit", "account", "statement", "fee", "refund", "limit"]


def clean() -> list[tuple[str, str]]:
    """200 different texts of two classes that words tell apart."""
    where = [f"where can one find the old {thing} office of {place}" for thing in THINGS for place in PLACES]
    when = [f"at what hour does my {thing} from {place} arrive" for thing in THINGS for place in PLACES]
    rows = [(text, "where") for text in where] + [(text, "when") for text in when]
    return [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]


def table(rows: list[tuple[str, str]], path: str = "a.jsonl") -> Table:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    return parse_table("\n".join(lines).encode(), path)


def of(report: Report, check: str) -> Finding:
    found = [finding for finding in report.findings if finding.check == check]
    assert len(found) == 1, [finding.check for finding in report.findings]
    return found[0]


def lines(report: Report, finding: Finding) -> list[list[tuple[str, int]]]:
    return [
        [(split, report.tables[split].line_numbers[index]) for split, index in example.places]
        for example in finding.examples
    ]


def test_clean_rows_raise_nothing() -> None:
    report = lint({"train": table(clean())})
    assert (report.task, report.because) == ("classify", "`label` holds names")
    assert report.labels == {"train": {"where": 100, "when": 100}}
    told = {finding.check for finding in report.findings if finding.level != "info"}
    assert told == set()
    assert of(report, "suspicious_labels").count == 0


def test_planted_faults_are_found_at_their_lines() -> None:
    rows = clean()
    rows[10] = ("Where is MY card, please?!", "when")
    rows[20] = ("where is my card please", "where")  # line 21: a copy with another label
    rows[30] = rows[31]  # lines 31 and 32: a copy
    rows[40] = (" ", "when")
    rows[50] = ("Yes", "when")
    rows[60] = ("word " * 150, "when")
    rows[70] = ("это совсем другой язык", "when")
    rows[80] = (rows[80][0], "When ")  # a class of its own
    rows[90] = ("where can one find the old bridge", "Rare")
    dev = [rows[0], (rows[1][0] + " today", rows[1][1]), ("something quite new to read", "never")]
    report = lint({"train": table(rows), "dev": table(dev, "dev.jsonl")})
    assert [("train", 11), ("train", 21)] in lines(report, of(report, "conflicts"))
    assert lines(report, of(report, "duplicates")) == [
        [("train", 11), ("train", 21)],
        [("train", 31), ("train", 32)],
    ]
    assert of(report, "duplicates").count == 2
    assert lines(report, of(report, "overlap")) == [[("train", 1), ("dev", 1)]]
    near = of(report, "near_overlap")
    assert [places[1] for places in lines(report, near)] == [("dev", 2)]
    assert lines(report, of(report, "empty")) == [[("train", 41)]]
    short = next(finding for finding in report.findings if finding.check == "short")
    assert lines(report, short) == [[("train", 51)]]
    assert lines(report, of(report, "long")) == [[("train", 61)]]
    assert lines(report, of(report, "scripts")) == [[("train", 71)]]
    assert "`when` 101, `When` 1" in of(report, "label_spelling").examples[0].told
    unseen = of(report, "unseen_labels")
    assert (unseen.level, lines(report, unseen)) == ("error", [[("dev", 3)]])
    assert of(report, "rare_labels").count == 2
    order = [finding.level for finding in report.findings]
    assert order == sorted(order, key=["error", "warning", "info"].index)


def test_flipped_labels_come_first() -> None:
    rows = clean()
    flipped = [3, 50, 99, 120, 180]
    for at in flipped:
        rows[at] = (rows[at][0], "when" if rows[at][1] == "where" else "where")
    report = lint({"train": table(rows)})
    finding = of(report, "suspicious_labels")
    assert {places[0][1] - 1 for places in lines(report, finding)} == set(flipped)
    assert finding.level == "warning"
    assert "`when`, perhaps `where`" in finding.examples[0].told or "`where`, perhaps" in finding.examples[0].told


def confident_joint(probs: np.ndarray, given: np.ndarray) -> set[int]:
    """Rows off the diagonal, straight from Northcutt et al. 2021, equations 1 and 2, row by row."""
    classes = range(probs.shape[1])
    threshold = [np.mean([p[j] for p, y in zip(probs, given, strict=True) if y == j]) for j in classes]
    found = set()
    for at, (p, y) in enumerate(zip(probs, given, strict=True)):
        over = [j for j in classes if p[j] >= threshold[j]]
        if over and max(over, key=lambda j: p[j]) != y and int(np.argmax(p)) != y:
            found.add(at)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_confident_learning_is_the_paper_s(seed: int) -> None:
    draw = np.random.default_rng(seed)
    given = np.concatenate([np.arange(4), draw.integers(0, 4, 200)])
    probs = draw.dirichlet(np.ones(4), len(given)) * 0.6
    probs[np.arange(len(given)), draw.permutation(given)] += 0.4
    found = suspicions(probs, given)
    assert {one.row for one in found} == confident_joint(probs, given) != set()
    assert [one.margin for one in found] == sorted(one.margin for one in found)
    cleanlab = pytest.importorskip("cleanlab.filter")
    theirs = cleanlab.find_label_issues(
        given, probs, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    assert theirs.tolist() == [one.row for one in found]


def test_every_row_is_judged_by_a_model_that_has_not_seen_it() -> None:
    given = np.arange(100) % 2
    texts = [(f"word{at}",) for at in range(100)]  # nothing is shared: what is learnt by heart shows
    probs = out_of_fold(texts, given)
    assert probs.shape == (100, 2)
    assert np.allclose(probs.sum(-1), 1)
    assert np.allclose(probs[:, 0], 0.5, atol=0.05)


def test_where_words_tell_nothing_no_label_is_accused() -> None:
    rows = [(text, "ab"[at % 2]) for at, (text, _) in enumerate(clean())]
    finding = of(lint({"train": table(rows)}), "suspicious_labels")
    assert (finding.level, finding.count) == ("info", 0)
    assert "a model of word counts knows little" in finding.what


def test_trec_with_five_per_cent_of_wrong_labels(shared_data: Path) -> None:
    import zstandard

    packed = (shared_data / "labelled" / "trec" / "TREC.train.all.zst").read_bytes()
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    rows = [line.split(" ", 1) for line in raw.decode("latin1").splitlines()]
    draw = np.random.default_rng(0)
    rows = [rows[at] for at in draw.permutation(len(rows))[:1000]]
    flipped = set(draw.permutation(1000)[:50].tolist())
    planted = [
        (text, f"c{(int(label) + int(draw.integers(1, 6))) % 6}" if at in flipped else f"c{label}")
        for at, (label, text) in enumerate(rows)
    ]
    report = lint({"train": table(planted)})
    found = [example.places[0].row for example in of(report, "suspicious_labels").examples]
    first = set(found[:50])
    assert len(first & flipped) >= 20  # by chance 2.5
    assert len(flipped & set(found)) >= 22


def test_what_cannot_be_told_is_a_finding_not_a_stop() -> None:
    rows = [{"text": f"text {at} of many", "label": at % 5} for at in range(60)]
    report = lint({"train": parse_table("\n".join(map(json.dumps, rows)).encode(), "a.jsonl")})
    assert report.task == ""
    assert of(report, "task").level == "error"
    assert "`--task classify` or `--task score`" in of(report, "task").advice
    one = lint({"train": table([(text, "x") for text, _ in clean()])})
    assert of(one, "one_label").level == "error"


def test_scores() -> None:
    rows = [{"text": f"some text {at}", "score": at % 10 / 2} for at in range(50)]
    rows[7]["score"] = 450
    report = lint({"train": parse_table("\n".join(map(json.dumps, rows)).encode(), "a.jsonl")})
    assert lines(report, of(report, "far_scores")) == [[("train", 8)]]
    assert "from 0 to 450" in of(report, "scores").what
    rows = [{"text": f"some text {at}", "score": 2.5} for at in range(50)]
    report = lint({"train": parse_table("\n".join(map(json.dumps, rows)).encode(), "a.jsonl")})
    assert of(report, "constant_scores").level == "error"


def test_the_command(command: Run, tmp_path: Path) -> None:
    rows = clean()
    rows[30] = rows[31]
    for name, part in (("train.jsonl", rows), ("dev.jsonl", rows[:5])):
        (tmp_path / name).write_text("\n".join(json.dumps({"text": text, "label": one}) for text, one in part))
    done = command("inspect", "train.jsonl", "--dev", "dev.jsonl", "--model", "bertworks-mini")
    assert done.returncode == 0, done.stderr
    assert "warning: 1 of 205 (0.5%) of the rows repeat an earlier text" in done.stdout
    assert "train line 31, 32: " in done.stdout
    assert "tokens in the median row" in done.stdout
    told = json.loads(command("inspect", "train.jsonl", "--dev", "dev.jsonl", "--json").stdout)
    assert (told["kind"], told["task"], told["rows"]) == ("rows", "classify", 200)
    assert told["files"]["dev"] == {
        "path": "dev.jsonl",
        "rows": 5,
        "unit": "line",
        "dropped": {},
        "kept": {},
        "labels": told["files"]["dev"]["labels"],
    }
    (copies,) = [finding for finding in told["findings"] if finding["check"] == "duplicates"]
    assert copies["examples"][0]["rows"] == [{"split": "train", "number": 31}, {"split": "train", "number": 32}]
    assert sum(told["counts"].values()) == len(told["findings"])
    done = command("inspect", "absent.csv", "--dev", "dev.jsonl")
    assert done.returncode == 2
    done = command("inspect", tmp_path, "--task", "classify")
    assert (done.returncode, "is no file of rows, which `--task` is for" in done.stderr) == (2, True)
