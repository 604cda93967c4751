"""The demo: what ships for it, what it says, and one whole run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from bertworks.base.errors import BertworksError
from bertworks.finetune.floors import tfidf_classifier
from bertworks.reproduce import bundled

LONGEST_DEAD = (
    1924  # of the authors; their texts are free where copyright ends seventy years after death, and in the US
)


def records(path: Path) -> list[dict[str, str]]:
    with path.open("rb") as handle:
        text = zstandard.ZstdDecompressor().stream_reader(handle).read().decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def fold(text: str) -> str:
    return " ".join(text.lower().split())


def test_novels_are_small_and_attributed() -> None:
    novels, heldout = sorted(bundled.NOVELS.iterdir()), sorted(bundled.HELDOUT.iterdir())
    assert len(novels) == 12
    chapters = [record for path in [*novels, *heldout] for record in records(path)]
    assert 2_500_000 < sum(len(record["text"].encode()) for record in chapters) <= 3_000_000
    with (bundled.DATA / "SOURCES.tsv").open(encoding="utf-8", newline="") as handle:
        sources = list(csv.DictReader(handle, delimiter="\t"))
    assert {row["file"] for row in sources} == {f"{path.parent.name}/{path.name}" for path in [*novels, *heldout]}
    for row in sources:
        assert all(row.values()), row
        assert int(row["author_years"].split("-")[1]) <= LONGEST_DEAD
        assert row["source"].startswith("https://")


def test_heldout_chapters_are_not_among_the_novels() -> None:
    seen = {
        line for path in bundled.NOVELS.iterdir() for record in records(path) for line in record["text"].split("\n")
    }
    kept = [line for record in records(bundled.HELDOUT / "chapters.jsonl.zst") for line in record["text"].split("\n")]
    long = [line for line in kept if len(line) > 60]
    assert len(long) > 150
    assert [line for line in long if line in seen] == []


def test_banking77_sample_is_balanced_and_apart_from_its_test() -> None:
    train, test = rows(bundled.BANKING77_TRAIN), rows(bundled.BANKING77_TEST)
    for table, each in ((train, 10), (test, 40)):
        counts = Counter(row["label"] for row in table)
        assert len(counts) == 77
        assert set(counts.values()) == {each}
    unseen = {fold(row["text"]) for row in test}
    assert not unseen & {fold(row["text"]) for row in train}
    readme = (bundled.DATA / "banking77" / "README.md").read_text(encoding="utf-8")
    for word in ("PolyAI", "Casanueva", "2020", "Attribution 4.0"):
        assert word in readme


def test_bundled_data_can_be_made_again(checkout: Path, shared_data: Path, tmp_path: Path) -> None:
    tool = checkout / "tools" / "bundle_data.py"
    subprocess.run([sys.executable, str(tool), str(tmp_path)], check=True, env={"BERTWORKS_DATA": str(shared_data)})
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 16
    for path in made:
        ours = bundled.DATA / path.relative_to(tmp_path)
        if path.suffix == ".zst":  # another version of the library may pack differently
            assert records(path) == records(ours)
        else:
            assert path.read_bytes() == ours.read_bytes()


def test_notice_names_what_ships(checkout: Path) -> None:
    notice = (checkout / "NOTICE").read_text(encoding="utf-8")
    for folder in (path.name for path in bundled.DATA.iterdir() if path.is_dir() and not path.name.startswith("_")):
        assert f"{folder}/" in notice
    for word in ("Attribution 4.0", "PolyAI", "Standard Ebooks", "CC0", "ShareAlike", "Wikipedia"):
        assert word in notice


def test_floor_learns_words_and_only_words() -> None:
    rows = [{"text": f"{animal} number {i}"} for animal in ("cat", "dog", "owl") for i in range(10)]
    answers = tfidf_classifier(rows, [number for number in range(3) for _ in range(10)])
    assert answers([{"text": "a cat"}, {"text": "the owl"}, {"text": "dog"}]) == [0, 2, 1]
    chinese = [{"text": text} for text in ("猫在睡", "狗在跑", "猫在吃", "狗在叫")]
    assert tfidf_classifier(chinese, [0, 1, 0, 1])([{"text": "一只猫"}, {"text": "一只狗"}]) == [0, 1]
    no_words = tfidf_classifier([{"text": "!"}] * 3, [1, 1, 0])
    assert no_words([{"text": "anything"}]) == [1]
    lonely = tfidf_classifier([{"text": word} for word in ("cat", "dog", "owl")], [0, 1, 2])
    assert lonely([{"text": "dog"}]) == [1]


def test_the_table_says_where_the_floor_wins() -> None:
    from bertworks.reproduce import told
    from bertworks.reproduce.few_shot import Bought
    from bertworks.stats.paired import paired_difference
    from bertworks.stats.summary import summarise

    random, pretrained = [0.50, 0.52, 0.54], [0.70, 0.74, 0.72]

    def said(floor: float) -> str:
        found = Bought(floor, summarise(random), summarise(pretrained), paired_difference(pretrained, random))
        table = found.table(is_reference=True)
        assert [row["start"] for row in table] == ["tfidf", "random", "reference"]
        assert [row["n"] for row in table] == [1, 3, 3]
        return told.bought(found, is_reference=True)

    assert "bought: +20.0 ± 1.2 (standard error over 3 seeds) percentage points" in said(0.60)
    assert "beats the random start by 8.0 points" in said(0.60)
    assert "beats the pre-trained start" not in said(0.60)
    assert "beats the pre-trained start by 8.0 points" in said(0.80)
    assert "is beaten by both" in said(0.40)


def test_what_was_learned_is_said_as_it_is(tmp_path: Path) -> None:
    from bertworks.reproduce import told

    def said(below: float) -> str:
        figures = {"mlm_loss": 6.4 - below, "unigram_entropy": 6.4, "below_unigram": below, "mlm_accuracy": 0.1}
        return told.pretrained(figures, tmp_path)

    assert "0.05 above word frequencies" in said(-0.05)
    assert "hardly more than which words are frequent" in said(-0.05)
    assert "hardly their order" in said(0.6)
    assert "1.10 below word frequencies" in said(1.1)
    assert "begins to use the order" in said(1.1)


def test_a_stopped_stage_ends_the_demo() -> None:
    from bertworks.reproduce.few_shot import go_on

    go_on(None)
    with pytest.raises(BertworksError, match="stopped by SIGINT") as caught:
        go_on("SIGINT")
    assert caught.value.exit_code == 130


def test_minutes_must_be_some(command: object) -> None:
    assert callable(command)
    done = command("demo", "--minutes", "0")
    assert done.returncode == 2
    assert "--minutes: 0 is no time to train in" in done.stderr
    Path("demo").mkdir()
    Path("demo/mine.txt").write_text("keep")
    done = command("demo")
    assert done.returncode == 2
    assert "demo: exists already" in done.stderr


@pytest.mark.slow  # every stage once, about a minute
@pytest.mark.timeout(1200)
def test_quick_demo_runs_every_stage(command: object, tmp_path: Path) -> None:
    assert callable(command)
    done = command("demo", "--quick", "--out", tmp_path / "demo", OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "demo" / "result.json").read_text(encoding="utf-8"))
    assert {"seconds", "unigram_entropy", "mlm_loss", "fill_top1", "table"} <= result.keys()
    assert 5 < result["mlm_loss"] < result["unigram_entropy"] + 0.5 < 8
    assert [row.keys() for row in result["table"]] == [{"start", "mean", "sd", "n"}] * 3
    assert result["table"][0]["mean"] == pytest.approx(0.717, abs=0.01)
    for stage in (
        "1. vocabulary",
        "2. corpus",
        "3. pre-training",
        "4. filling masks",
        "5. fine-tuning",
        "your own file",
    ):
        assert stage in done.stdout
    for line in done.stdout.splitlines():
        if line.startswith("pictures: "):
            pictures = [Path(path) for path in line.removeprefix("pictures: ").split(", ")]
            assert len(pictures) == 2
            assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
            break
    else:
        pytest.fail("no pictures named")
