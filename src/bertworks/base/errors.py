"""The one error a user sees, and the nearest names to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


class BertworksError(Exception):
    """A mistake or a failure told in one sentence, with what to do about it.

    message    where, then what was found with its values; lower case, no full stop
    hint       what to do; "" where nothing helps
    exit_code  of the command line: 2 bad input, 1 the work failed
    """

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 2) -> None:
        super().__init__(message, hint)  # both in `args`, so that the error crosses process borders whole
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback shows it

    def __str__(self) -> str:
        return self.message

    def lines(self) -> list[str]:
        """What the command line prints: `error: …`, and `hint: …` where there is one."""
        return [f"error: {self.message}", *([f"hint: {self.hint}"] if self.hint else [])]


def nearest(name: str, names: Iterable[str], n: int = 3) -> list[str]:
    """The at most `n` of `names` a writer of `name` may have meant, the likeliest first; [] where none is close.

    >>> nearest("hiden_size", ["hidden_size", "hidden_act", "vocab_size"])
    ['hidden_size', 'hidden_act']
    """
    import difflib  # only a mistake pays for it

    by_lower: dict[str, str] = {}
    for known in names:
        by_lower.setdefault(known.lower(), known)
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=n)]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The question for a hint: "did you mean `a` or `b`?"; "" where no name is close."""
    close = nearest(name, names)
    return f"did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else ""
