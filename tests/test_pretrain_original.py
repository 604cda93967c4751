"""The original's builder: its digests on its own sample text, and the statistics measured on it."""

import hashlib
import random
from pathlib import Path

import pytest

from bertworks.pretrain.original import Instance, Settings, create_instances, mask_tokens, read_documents
from bertworks.text.tokenizer import Tokenizer

# seed, length, most predictions, duplicates, whole words -> instances, SHA-256 of the lines of `told`
DIGESTS = {
    (12345, 128, 20, 5, False): (60, "928f24f404aec2ea03bf5b8e7dd67bab70df0275f22a74982f57b6177fdd6348"),
    (12345, 128, 20, 10, False): (118, "01f6aa8f3c95a9c30e982b1186b039d0c5414f262d7dd199a7fcf8a529a874c9"),
    (12345, 128, 20, 5, True): (64, "6c050e7eaed7ffcbae82727fd65cc9d8999cf7e7d2a134edd18a060b5f3d1da8"),
    (12345, 512, 77, 5, False): (38, "cca5b56b3348f33c4c89b71c20913a107f1553856d4dc46790fe1991aecc33a5"),
    (12345, 512, 77, 5, True): (30, "35fe4244aa34e03329f8bc429858028cdd6ac765396ffb7e6e19c8b3d99aedb4"),
    (1, 128, 20, 5, False): (69, "9ed6c994d0603ba5c258161019897539c2b0ba7e58690894491ff7764c79b96f"),
    (2, 128, 20, 5, False): (66, "d6fb24a3b850e2f669778093def1ad30116a25768bf5ff90a8ea3ec7e5231784"),
    (3, 128, 20, 5, False): (58, "e225858b9a44fc36af31f8d5c0bdf02d732128fd296a3ea7bec08864a1d31a1d"),
    (12345, 64, 10, 5, False): (95, "6549d392640dd26efc707fe98ddcff33403f2e1f593bd1e46a763618ef1f7302"),
}

# 200 seeds, 5 duplicates: length, predictions, whole words -> instances a seed, random-next, full, masks an instance
MEASURED = {
    (64, 10, False): (94.3, 0.646, 0.807, 9.4),
    (128, 20, False): (61.9, 0.576, 0.535, 15.6),
    (128, 20, True): (62.2, 0.579, 0.529, 15.6),
    (512, 77, False): (32.9, 0.571, 0.138, 34.8),
    (512, 77, True): (33.7, 0.592, 0.139, 34.5),
}


@pytest.fixture(scope="module")
def tokenizer(shared_data: Path) -> Tokenizer:
    return Tokenizer.load(shared_data / "vocab" / "bert-base-uncased", exact=True)


@pytest.fixture(scope="module")
def documents(shared_data: Path, tokenizer: Tokenizer) -> list[list[list[int]]]:
    text = (shared_data / "google_bert" / "sample_text.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest().startswith("5205aafa")
    return read_documents(text.decode("utf-8").split("\n"), tokenizer)


def told(instance: Instance, tokenizer: Tokenizer) -> str:
    """Tokens, types, places, labels, whether random: space-joined, with tabs between."""
    words = [tokenizer.tokens[token] for token in instance.input_ids]
    labels = [tokenizer.tokens[token] for token in instance.masked_labels]
    columns = (words, instance.token_type_ids, instance.masked_positions, labels, [int(instance.is_random)])
    return "\t".join(" ".join(map(str, column)) for column in columns) + "\n"


def settings_of(seed: int, length: int, predictions: int, duplicates: int, whole_words: bool) -> Settings:
    return Settings(
        seed=seed, max_length=length, max_predictions=predictions, duplicates=duplicates, whole_words=whole_words
    )


def test_the_sample_text_is_read_as_the_original_reads_it(
    documents: list[list[list[int]]], tokenizer: Tokenizer
) -> None:
    assert [(len(document), sum(map(len, document))) for document in documents] == [(3, 59), (13, 369), (15, 591)]
    spelled = [
        " ".join(tokenizer.tokens[i] for i in sentence) for document in documents for sentence in [*document, []]
    ]
    digest = hashlib.sha256("\n".join(spelled[:-1]).encode() + b"\n").hexdigest()
    assert digest == "e1e0ff789aa87d1a6f5de585325a0fd52559e86ea55a538097dd3979d9a7bb35"


def test_draws_come_in_the_order_of_the_original() -> None:
    draw = random.Random(12345)
    assert draw.random() == 0.41661987254534116
    assert (draw.randint(2, 125), draw.randint(1, 1), draw.getrandbits(5)) == (3, 1, 27)
    ten = list(range(10))
    draw.shuffle(ten)
    assert ten == [9, 6, 0, 2, 1, 8, 7, 4, 3, 5]


@pytest.mark.parametrize("flags", DIGESTS)
def test_instances_are_the_originals_to_the_byte(
    documents: list[list[list[int]]], tokenizer: Tokenizer, flags: tuple[int, int, int, int, bool]
) -> None:
    instances = create_instances(documents, tokenizer, settings_of(*flags))
    lines = "".join(told(instance, tokenizer) for instance in instances)
    assert (len(instances), hashlib.sha256(lines.encode()).hexdigest()) == DIGESTS[flags]


def test_two_instances_that_a_user_logged_from_the_released_script(
    documents: list[list[list[int]]], tokenizer: Tokenizer
) -> None:
    instances = create_instances(documents, tokenizer, settings_of(12345, 128, 20, 5, False))
    assert sum(len(instance.input_ids) for instance in instances) == 6207
    assert sum(len(instance.masked_labels) for instance in instances) == 922
    assert sum(instance.is_random for instance in instances) == 32
    second, third = instances[2:4]
    places = "1 6 8 17 18 24 25 26 43 46 65 66 79 91 96 97 103 106 126"
    labels = "11772 4188 2785 4253 1010 2063 2000 1037 2720 4173 1010 6919 10848 2978 1055 2192 2433 5810 1000"
    assert second.masked_positions == [int(place) for place in places.split()]
    assert second.masked_labels == [int(label) for label in labels.split()]
    assert not second.is_random
    assert told(third, tokenizer).startswith("[CLS] there [MASK] a phil vita ##phic ")
    assert third.is_random


@pytest.mark.slow  # 200 seeds of each setting
@pytest.mark.parametrize("flags", MEASURED)
def test_the_measured_statistics_of_the_sample_text(
    documents: list[list[list[int]]], tokenizer: Tokenizer, flags: tuple[int, int, bool]
) -> None:
    length, predictions, whole_words = flags
    found: list[Instance] = []
    for seed in range(200):
        found += create_instances(documents, tokenizer, settings_of(seed, length, predictions, 5, whole_words))
    n = len(found)
    figures = (
        n / 200,
        sum(instance.is_random for instance in found) / n,
        sum(len(instance.input_ids) == length for instance in found) / n,
        sum(len(instance.masked_labels) for instance in found) / n,
    )
    for figure, measured, step in zip(figures, MEASURED[flags], (0.05, 0.0006, 0.0006, 0.05), strict=True):
        assert figure == pytest.approx(measured, abs=step)


def test_whole_words_are_masked_whole_and_join_across_the_separator(tokenizer: Tokenizer) -> None:
    """The quirk of the released whole-word masks: a piece that opens B hangs on A's last word."""
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    words = [tokenizer.vocab[token] for token in ("phil", "##am", "##mon", "the", "vita", "##phic")]
    ids = [cls, *words[:5], sep, words[5], words[3], words[0], words[1], sep]
    together = 0
    for seed in range(300):
        masked = list(ids)
        settings = Settings(whole_words=True, mask_probability=0.3)
        positions, labels = mask_tokens(masked, tokenizer, settings, random.Random(seed))
        assert [ids[place] for place in positions] == labels
        assert len({1, 2, 3} & set(positions)) in (0, 3)
        assert (5 in positions) == (7 in positions)
        assert not {0, 6, 11} & set(positions)
        assert len(positions) <= 4
        together += 5 in positions
    assert 50 < together < 250
