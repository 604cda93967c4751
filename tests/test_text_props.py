"""What holds for every text: random ones made of what tokenisers stumble over."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import text_oracle
from bertworks.text.rules import Description, Rules
from bertworks.text.sentences import split
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import SPECIAL_NAMES

PLAIN = "abcdeABCDE019 .,!?'\"-()[]\n\t"
MARKED = "éÉñİǅßẞﬁ\u0301\u0323\u0345\u1e69\u0344\u212b\u00a0\u3000\u200b\u00ad\ufeff\u0085\u2028\x00\ufffd\x1c"
WIDE = "一中\u3400\U00020000\uf900한국かがガ。！？；“”「」…"
RARE = "ΣσςΆ\U0001f600\U0001f468\u200d\U0001d165\U0001d16d\u302a\u302e\u0f71\u0f72\ue000\u0378\U000e0061™½€"
SENTENCE_PARTS = [
    "a",
    "B",
    "Mr",
    "U.S.",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\u2028",
    ".",
    "?",
    "…",
    '"',
    "'",
    ")",
    "[1]",
    "1",
    "一",
]
SENTENCE_PARTS += list("。！；”「")


def texts(*groups: str | list[str], any_character: bool = False) -> st.SearchStrategy[str]:
    """Short and long texts of parts drawn from each group equally often."""
    parts = st.one_of(*(st.sampled_from(group) for group in groups), *([st.characters()] if any_character else []))
    return st.one_of(st.lists(parts, max_size=3), st.lists(parts, min_size=20, max_size=60)).map("".join)


AGREED = texts(PLAIN, MARKED, WIDE)  # both modes read these alike
ANYTHING = texts(PLAIN, MARKED, WIDE, RARE, any_character=True)
SENTENCES = st.one_of(ANYTHING, texts(SENTENCE_PARTS))
every = settings(max_examples=200, deadline=None, derandomize=True)

# Pieces of one to three letters; what the text below decomposes to; some letters only at one place of a word.
LETTERS = "abde019.,!?'\"-()[]éÉñßﬁßi一中\u3400\U00020000。！？；“”「」…σςά½€ABDE\u1112\u1161\u11ab\u304b\u30ab"
TOKENS = (
    *SPECIAL_NAMES.values(),
    *dict.fromkeys(LETTERS),
    *(
        f"##{letter}"
        for letter in dict.fromkeys("abcdeABC019éñßﬁσς\u1161\u11ab\u3099\u0301\u0323\U0001d165\U0001d16d\u302e")
    ),
    *("ab", "##ab", "abc", "##bcd", "de", "##de0", "CA", "##19"),
)
TOKENIZERS = {
    (lowercase, exact): Tokenizer(Description(TOKENS, Rules(lowercase=lowercase, exact=exact)))
    for lowercase in (False, True)
    for exact in (False, True)
}
SPECIAL_TEXT = st.lists(st.one_of(AGREED, st.sampled_from(list(SPECIAL_NAMES.values()))), max_size=6)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[token_id] for token_id in tokenizer.encode([text])[0]]


def test_vocabulary_makes_long_pieces_and_unknown_words() -> None:
    """Power: random text meets all branches of WordPiece."""
    tokenizer = TOKENIZERS[True, True]
    assert pieces(tokenizer, "abcde0 cab abx") == ["abc", "##de0", "[UNK]", "[UNK]"]


@every
@given(ANYTHING, st.booleans())
def test_exact_is_the_slow_transcription(text: str, lowercase: bool) -> None:
    tokenizer = TOKENIZERS[lowercase, True]
    assert pieces(tokenizer, text) == text_oracle.tokenize(text, tokenizer.vocab, lowercase=lowercase)


@every
@given(AGREED, st.booleans())
def test_default_is_exact_on_common_characters(text: str, lowercase: bool) -> None:
    default, exact = (TOKENIZERS[lowercase, mode].encode_with_offsets([text])[0] for mode in (False, True))
    assert default.input_ids.tolist() == exact.input_ids.tolist()
    assert default.offset_mapping.tolist() == exact.offset_mapping.tolist()
    assert default.word_ids.tolist() == exact.word_ids.tolist()


@every
@given(AGREED, st.booleans(), st.booleans())
def test_pieces_spell_the_words_and_come_from_their_places(text: str, lowercase: bool, exact: bool) -> None:
    tokenizer = TOKENIZERS[lowercase, exact]
    encoding = tokenizer.encode_with_offsets([text])[0]
    words = text_oracle.basic_tokens(text, lowercase=lowercase)
    assert encoding.word_ids.tolist() == sorted(encoding.word_ids.tolist())
    assert set(encoding.word_ids.tolist()) == set(range(len(words)))
    spelled = [""] * len(words)
    last_start, last_end = 0, 0
    for token_id, (start, end), word in zip(
        encoding.input_ids.tolist(), encoding.offset_mapping.tolist(), encoding.word_ids.tolist(), strict=True
    ):
        assert last_start <= start < end <= len(text)
        assert start >= last_end or end == last_end  # pieces of one decomposed character share its place
        last_start, last_end = start, end
        source = "".join(text_oracle.basic_tokens(text[start:end], lowercase=lowercase))
        piece = tokenizer.tokens[token_id].removeprefix("##")
        if token_id == tokenizer.unk_token_id:
            piece = words[word]
        else:
            assert tokenizer.continuation[token_id] == bool(spelled[word])
        assert piece in source
        spelled[word] += piece
    assert spelled == words


@every
@given(st.lists(ANYTHING, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_neighbours_do_not_matter(texts: list[str], lowercase: bool, exact: bool, specials: bool) -> None:
    tokenizer = TOKENIZERS[lowercase, exact]
    together = [ids.tolist() for ids in tokenizer.encode(texts, specials=specials)]
    assert together == [tokenizer.encode([text], specials=specials)[0].tolist() for text in texts]
    assert together == [one.input_ids.tolist() for one in tokenizer.encode_with_offsets(texts, specials=specials)]


@every
@given(SPECIAL_TEXT, st.booleans(), st.booleans())
def test_specials_cut_the_text(parts: list[str], lowercase: bool, exact: bool) -> None:
    tokenizer = TOKENIZERS[lowercase, exact]
    joined = "".join(parts)
    cut = [[tokenizer.vocab[part]] if part in SPECIAL_NAMES.values() else part for part in parts]
    runs: list[str | list[int]] = []
    for part in cut:  # neighbouring texts are one
        if isinstance(part, str) and runs and isinstance(runs[-1], str):
            runs[-1] += part
        else:
            runs.append(part)
    wanted = [
        token_id for run in runs for token_id in (tokenizer.encode([run])[0].tolist() if isinstance(run, str) else run)
    ]
    assert tokenizer.encode([joined], specials=True)[0].tolist() == wanted


@every
@given(SENTENCES)
def test_sentences_cover_the_text_in_order(text: str) -> None:
    last = 0
    covered = ""
    for start, end in split(text):
        assert last <= start < end <= len(text)
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        assert text[last:start].strip() == ""
        assert not set(text[start:end]) & set("\n\r\x0b\x0c\x85\u2028\u2029")
        covered += text[start:end]
        last = end
    assert text[last:].strip() == ""
    assert "".join(covered.split()) == "".join(text.split())
