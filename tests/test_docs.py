"""What README, docs and recipes show is what happens."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bertworks.base.recipe import load
from bertworks.cli.commands import COMMANDS, parser_of
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.reproduce import bundled
from documents import ROOT, Block, blocks, commands, documents, environment, run

PAGES = documents() if (ROOT / "README.md").exists() else []
BUILT_IN = ROOT / "src" / "bertworks" / "data" / "recipes"
RECIPES = sorted([*(ROOT / "recipes").glob("*.toml"), *BUILT_IN.glob("*.toml")])
KINDS = {"pretrain": PretrainRecipe, "finetune": FinetuneRecipe}
REFERENCE = re.compile("bertworks-mini")

pytestmark = pytest.mark.usefixtures("checkout")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """The folder of somebody who reads along: `texts/`, `train.csv`, `test.csv`."""
    import csv

    (tmp_path / "texts").mkdir()
    for path in sorted(bundled.NOVELS.iterdir())[:3]:
        shutil.copy(path, tmp_path / "texts")
    for name, source in (("train.csv", bundled.BANKING77_TRAIN), ("test.csv", bundled.BANKING77_TEST)):
        with source.open(encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
        few = sorted({label for _, label in rows})[:3]
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([header, *(row for row in rows if row[1] in few)])
    return tmp_path


def run_page(path: Path, folder: Path, *, slow: bool) -> int:
    """Run the blocks of a page in order; returns how many. A page that needs the reference is skipped without it."""
    names: dict[str, object] = {}
    chosen = [block for block in blocks(path) if block.is_code and (not block.mark or (slow and block.mark == "slow"))]
    if any(REFERENCE.search(block.code) for block in chosen) and bundled.reference_checkpoint() is None:
        pytest.skip("needs bertworks-mini, which this build does not carry")
    for block in chosen:
        printed = run(block, folder, names)
        if block.output is not None:
            assert printed.strip() == block.output.strip(), block.place
    return len(chosen)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_short_blocks_run(path: Path, reader: Path) -> None:
    run_page(path, reader, slow=False)


@pytest.mark.slow  # trains
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", [path for path in PAGES if any(b.mark == "slow" for b in blocks(path))], ids=page_id)
def test_all_blocks_run(path: Path, reader: Path) -> None:
    assert run_page(path, reader, slow=True)


def test_every_code_block_is_run_or_says_why_not() -> None:
    found = [block for path in PAGES for block in blocks(path)]
    assert {block.language for block in found} <= {"sh", "python", "text", "json", "toml"}, "a language nobody runs"
    assert sum(block.is_code and not block.mark.startswith("not run") for block in found) >= 8


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_of_a_page_are_spelled_right(path: Path) -> None:
    for block in blocks(path):
        if block.language == "sh":
            check_commands(block)


def test_commands_of_the_recipes_are_spelled_right() -> None:
    script = (ROOT / "recipes" / "tiny.sh").read_text(encoding="utf-8")
    assert len(check_commands(Block(ROOT / "recipes" / "tiny.sh", 1, "sh", script))) >= 7
    with pytest.raises(Exception, match="unknown flag"):
        check_commands(Block(ROOT / "README.md", 1, "sh", "bertworks vocab texts --out v --sise 3"))


def check_commands(block: Block) -> list[str]:
    """Parse every command of a block as the program would; returns their names."""
    names = []
    for name, *words in commands(block):
        if name.startswith("-"):
            continue
        assert name in COMMANDS, f"{block.place}: bertworks {name}"
        if not {"--help", "--version"} & set(words):
            parser_of(name)[0].parse(words)
        names.append(name)
    return names


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_parse_as_what_their_first_lines_say(path: Path) -> None:
    command = re.search(r"bertworks (pretrain|finetune)", path.read_text(encoding="utf-8"))
    assert command, f"{path.name}: no line `# bertworks pretrain|finetune …`"
    load(KINDS[command[1]], path)


def test_there_are_recipes() -> None:
    assert not (ROOT / "recipes").exists() or len(RECIPES) >= 2


@pytest.mark.slow  # every stage, minutes
@pytest.mark.timeout(1200)
def test_tiny_runs_every_stage(reader: Path) -> None:
    done = subprocess.run(
        [ROOT / "recipes" / "tiny.sh", str(reader / "tiny")],
        env=environment(reader),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("vocab/vocab.txt", "corpus/manifest.json", "pretrained/result.json", "intents/result.json"):
        assert (reader / "tiny" / name).is_file(), name


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [one for one in targets if "://" not in one and not (path.parent / one).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_named_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:src/bertworks|tests|recipes|docs|tools)/[\w./-]+)`", text)
    assert [one for one in named if not (ROOT / one).exists()] == []


# Where the project was made is nobody's affair: paths of one machine, notes that do not ship, threads nobody can open.
FOREIGN = re.compile(r"(?<![\w.)])/(?:work|home)/\w|\bSPEC-BERT\b|\banchors/|\bshared/(?!data)|\b[Ii]ssue #?\d")


def test_the_project_speaks_of_itself(checkout: Path) -> None:
    for bad in ("see /home/me/x", "SPEC-BERT §1", "anchors/style.md", "Issue #7", "shared/DESIGN.md"):
        assert FOREIGN.search(bad), bad
    for good in ("home/", "../shared/data", "an issue", "a/home/b"):
        assert not FOREIGN.search(good), good
    folders = ("src", "tests", "docs", "recipes", "tools", ".ci")
    files = [path for folder in folders for path in (checkout / folder).rglob("*") if path.is_file()]
    files += [path for path in checkout.iterdir() if path.is_file()]
    kinds = ("", ".py", ".md", ".toml", ".sh", ".cff", ".txt")
    read = [path for path in files if path.suffix in kinds and path != Path(__file__) and path.name != "vocab.txt"]
    assert len(read) > 150
    found = {
        f"{path.relative_to(checkout)}:{number}"
        for path in read
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1)
        if FOREIGN.search(line)
    }
    assert found == set()
