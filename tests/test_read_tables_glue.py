"""GLUE's files, by header and by position, made up here in their form; and the real ones where they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.read.tables import parse_table, read_table


def rows(text: str, labelled: bool = True) -> list[dict[str, object]]:
    return parse_table(text.encode(), "train.tsv", labelled=labelled).rows


def test_cola_has_no_header() -> None:
    read = parse_table(b'gj04\t1\t\tHe said "yes.\ngj04\t0\t*\tHim went.\nbc01\t1\t?*\tThere.\n', "train.tsv")
    assert read.rows[0] == {"text": 'He said "yes.', "label": "1"}
    assert [row["label"] for row in read.rows] == ["1", "0", "1"]
    assert read.format.startswith("CoLA")


def test_mrpc_keeps_its_quotes() -> None:
    text = '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t"the witness" lied\tHe "lied\n0\t9\t10\ta\tb\n'
    assert rows(text)[0] == {"sentence1": '"the witness" lied', "sentence2": 'He "lied', "label": "1"}


def test_qqp_drops_and_counts_its_short_lines() -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    read = parse_table(f"{header}1\t2\t3\tWhy?\tHow?\t0\n4\t5\t6\tcut off\n7\t8\t9\ta\tb\t1\n".encode(), "train.tsv")
    assert read.dropped == {"another number of fields": 1}
    assert [row["label"] for row in read.rows] == ["0", "1"]
    assert read.line_numbers == [2, 4]


def test_stsb_and_its_first_release() -> None:
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    assert rows(f"{header}0\tm\tf\t2012\t1\tn\tn\tA plane.\tA jet.\t4.800\n1\tm\tf\t2012\t1\tn\tn\ta\tb\t0\n")[0] == {
        "sentence1": "A plane.",
        "sentence2": "A jet.",
        "score": 4.8,
        "id": "0",
    }
    first = (
        "main-captions\tMSRvid\t2012test\t0024\t2.500\tA girl.\tA cat.\nmain-news\tx\t2013\t1\t0\ta\tb\tsource\tmore\n"
    )
    assert [row["score"] for row in rows(first)] == [2.5, 0.0]


def test_mnli_and_snli_take_the_gold_label() -> None:
    mnli = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
    mnli += "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
    body = "0\t1\t1n\tfiction\t( )\t( )\t(R)\t(R)\tIt rains.\tIt is wet.\tneutral\tentailment\n"
    assert rows(mnli + body + body.replace("entailment", "neutral"))[0]["label"] == "entailment"
    snli = "gold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1\tsentence2\n"
    lines = ["neutral\t( )\t( )\ta\tb\n"] * 30 + ["-\t( )\t( )\tc\td\n"]
    read = parse_table((snli + "".join(lines)).encode(), "dev.txt")
    assert read.dropped == {"label `-`, no gold label": 1}
    assert read.rows[0] == {"sentence1": "a", "sentence2": "b", "label": "neutral"}


@pytest.mark.parametrize("first", ["question", "sentence1"])
def test_qnli_rte_wnli(first: str) -> None:
    second = {"question": "sentence", "sentence1": "sentence2"}[first]
    text = f"index\t{first}\t{second}\tlabel\n0\tWho?\tHe.\tentailment\n1\ta\tb\tnot_entailment\n"
    assert rows(text)[0] == {"sentence1": "Who?", "sentence2": "He.", "label": "entailment", "id": "0"}


def test_a_test_file_has_no_label() -> None:
    text = "index\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n"
    assert rows(text, labelled=False) == [
        {"sentence1": "a", "sentence2": "b", "id": "0"},
        {"sentence1": "c", "sentence2": "d", "id": "1"},
    ]
    with pytest.raises(BertworksError, match="no column is known to hold the label"):
        rows(text)


REAL = {  # rows and labels as the data's own README counts them
    "sst/stsa.binary.train.zst": (6920, {"0": 3310, "1": 3610}),
    "mrpc/msr_paraphrase_train.txt.zst": (4076, {"1": 2753, "0": 1323}),
    "cola/in_domain_train.tsv.zst": (8551, {"0": 2528, "1": 6023}),
    "cola/out_of_domain_dev.tsv.zst": (516, {"0": 162, "1": 354}),
    "rte/dev.tsv.zst": (277, {"entailment": 146, "not_entailment": 131}),
    "wnli/train.tsv.zst": (518, {"0": 257, "1": 261}),
    "ocnli/dev.json.zst": (2950, {"contradiction": 900, "entailment": 947, "neutral": 1103}),
    "chnsenticorp/train.tsv.zst": (9600, {"0": 4801, "1": 4799}),
    "afqmc/dev.json.zst": (4316, {"0": 2978, "1": 1338}),
    "weibo_senti/train.tsv.zst": (10000, {"0": 4504, "1": 5496}),
    "online_shopping/online_shopping_10_cats.csv.zst": (30000, {"0": 14920, "1": 15080}),
    "scicite/dev.txt.zst": (916, None),
    "sick/SICK_train.txt.zst": (4500, None),
    "banking77/train.csv.zst": (10003, None),
    "snli/dev.jsonl.zst": (9842, None),
    "mnli/dev_matched.jsonl.zst": (9815, None),
    "stsb/train.tsv.zst": (5749, None),
    "stsb/sts-test.csv.zst": (1379, None),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_all_their_rows(name: str, shared_data: Path) -> None:
    count, labels = REAL[name]
    read = read_table(shared_data / "labelled" / name)
    assert len(read.rows) == count
    if labels is not None:
        assert Counter(row["label"] for row in read.rows) == labels
