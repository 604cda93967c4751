"""What the demo says, a paragraph a stage: figures first, then what they mean, the bad news included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bertworks.reproduce.few_shot import Bought
from bertworks.reproduce.guesses import SENTENCES, Guesses

REFERENCE = "bertworks-mini, the reference checkpoint of the package"
NO_REFERENCE = "this build carries no reference checkpoint, so the weights just trained take its place"


FREQUENCIES = 0.2  # nats below word frequencies: little else was learned
PLATEAU = 0.7  # nats below word frequencies: what knowing a text's words, but not their order, comes to


def before_pretraining(minutes: float) -> str:
    """Stage 3, before it starts."""
    return f"3. pre-training: 2 layers x 128, masked words and next sentence, {minutes:g} minutes"


def pretrained(figures: Mapping[str, float], run: Path) -> str:
    """What the minutes gave, against knowing only how frequent each word is."""
    below = figures["below_unigram"]
    side = "below" if below >= 0 else "above"
    pairs = f", next sentence {figures['nsp_accuracy']:.1%} (chance: 50%)" if "nsp_accuracy" in figures else ""
    return (
        f"   held-out chapters: {figures['mlm_loss']:.2f} nats a masked token, {abs(below):.2f} {side} word "
        f"frequencies alone ({figures['unigram_entropy']:.2f})\n"
        f"   right: masked tokens {figures['mlm_accuracy']:.1%}{pairs}; curves: {run / 'curves.png'}\n"
        f"   {learned(below)}; what follows uses longer training"
    )


def learned(below: float) -> str:
    """What a loss so many nats below word frequencies has learned, in a sentence."""
    if below < FREQUENCIES:
        return "so short a run learns hardly more than which words are frequent"
    if below < PLATEAU:
        return "so short a run learns which words go with a text, hardly their order"
    return "it begins to use the order of the words"


def guessed(guesses: Guesses, *, is_reference: bool) -> str:
    """The filled sentences, and how often the first guess is right."""
    lines = [f"4. filling masks: {REFERENCE if is_reference else NO_REFERENCE}"]
    for sentence, best in zip(SENTENCES, guesses.best, strict=True):
        words = ", ".join(f"{token} {score:.0%}" for token, score in best)
        lines.append(f"   {sentence}  {words}")
    lines.append(
        f"   chapters it was never trained on: the first guess is right on {guesses.top1:.1%} of "
        f"{guesses.masked_tokens:,} masked tokens; always guessing the most frequent one: {guesses.unigram_top1:.1%}"
    )
    return "\n".join(lines)


def before_few_shot(seeds: int) -> str:
    """Stage 5, before it starts."""
    return (
        f"5. fine-tuning: BANKING77, 77 intents, 10 questions each, tested on 3,080 questions; {seeds} seeds from "
        "random weights and from pre-trained ones, all else equal"
    )


def bought(found: Bought, *, is_reference: bool) -> str:
    """The table, the paired difference, and where the floor wins."""
    rows = [["start", "accuracy", "sd", "n"]]
    for row in found.table(is_reference=is_reference):
        spread = f"{row['sd']:.1%}" if row["n"] > 1 else "-"
        rows.append([str(row["start"]), f"{row['mean']:.1%}", spread, str(row["n"])])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "   " + "  ".join("-" * width for width in widths))
    gain = found.difference.summary
    sure = "" if gain.se is None else f" ± {100 * gain.se:.1f} (standard error over {gain.n} seeds)"
    source = "pre-training" if is_reference else "these minutes of pre-training"
    lines.append(f"   what {source} bought: {100 * gain.mean:+.1f}{sure} percentage points")
    for name, summary in (("random", found.random), ("pre-trained", found.pretrained)):
        if found.floor > summary.mean:
            points = 100 * (found.floor - summary.mean)
            lines.append(f"   TF-IDF + logistic regression beats the {name} start by {points:.1f} points")
    if found.floor <= min(found.random.mean, found.pretrained.mean):
        lines.append("   TF-IDF + logistic regression is beaten by both")
    return "\n".join(lines)


def closing(out: Path, seconds: float) -> str:
    """Where to look, and what to type next."""
    run = out / "intents" / "pretrained"
    return (
        f"done in {seconds / 60:.1f} minutes; {out / 'result.json'}\n"
        f"pictures: {out / 'pretrained' / 'curves.png'}, {run / 'seed-0' / 'confusion.png'}\n"
        f'next: echo "I lost my card" | bertworks predict {run} -\n'
        "your own file, a column of texts and a column of labels:\n"
        "      bertworks finetune --model bertworks-mini --train FILE.csv --seeds 3 --out runs/mine"
    )
