"""A wrong row on the report: what it says, what was wanted, and which tokens did it."""

from __future__ import annotations

from typing import Any

from bertworks.finetune.bad_cases import BadCase
from bertworks.finetune.page import Case, Token
from bertworks.predict.attributions import Explanation
from bertworks.tasks.task import Row

MOST_CHARS = 700  # of a text
TEXTS = ("text", "sentence1", "sentence2", "question", "context")


def case_block(number: int, place: str, case: BadCase, row: Row, explanation: Explanation | None) -> Case:
    """One case; `place` is where its row stands."""
    texts = [(role, cut(str(row[role]))) for role in TEXTS if role in row]
    if not texts and isinstance(row.get("tokens"), (list, tuple)):
        texts = [("words", cut(" ".join(map(str, row["tokens"]))))]
    facts = [*texts, ("true", shown(case.gold)), ("answered", shown(case.said)), (case.measured, f"{case.score:.4f}")]
    if explanation is None:
        return Case(f"{number}. {place}", facts)
    strongest = max(map(abs, explanation.values), default=0.0) or 1.0
    tokens = [
        Token(token, f"{value:+.3f}", value / strongest)
        for token, value in zip(explanation.tokens, explanation.values, strict=True)
    ]
    about = (
        f"{explanation.of}: {explanation.value:.3f}, with all words masked {explanation.baseline:.3f}; the tokens "
        f"add up to {sum(explanation.values):+.3f}, {explanation.steps} steps, {explanation.gap:.2%} missing."
    )
    return Case(f"{number}. {place}", facts, tokens, about)


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 2].rstrip() + " …"


def shown(value: Any) -> str:
    """A label, labels, a number, spans or answers, for a human."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, dict):
        if {"label", "text"} <= value.keys():  # a span
            return f"{value['label']} {value['text']}"
        told = {name: " ".join(map(shown, one)) if isinstance(one, list) else one for name, one in value.items()}
        return "; ".join(f"{name}: {one}" for name, one in told.items())
    if isinstance(value, (list, tuple)):
        words = list(dict.fromkeys(map(shown, value)))
        return "; ".join(words) if words else "nothing"
    return str(value) if value not in (None, "") else "nothing"
