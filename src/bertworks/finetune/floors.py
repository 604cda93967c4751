"""What a model has to beat: the most frequent label, and TF-IDF with logistic regression on the same rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from bertworks.finetune.data import Data
from bertworks.tasks.choice import ChoiceAnswer, ChoiceTask
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.sentence import Answer, SentenceTask
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Row

MOST_ROWS = 20_000  # of training; logistic regression over more classes and rows takes longer than it tells
WORDS = r"[\u4e00-\u9fff]|(?:(?![\u4e00-\u9fff])\w){2,}"  # as usual; Chinese character by character
CHOSEN_UP_TO, FOLDS = 2_000, 3  # rows for which the settings are chosen by cross-validation
STRENGTHS = (1.0, 10.0, 100.0)  # inverse of the penalty
NGRAMS = (1, 2)
USUAL = (2, 10.0)


FLOORS = {
    "majority": "most frequent label",
    "tfidf": "TF-IDF + logistic regression",
    "word": "each word's most frequent tag",  # and of intent-slots the most frequent class
    "place": "most frequent place of the right option",
    "options": "TF-IDF + logistic regression of the options alone",
}


def floors(data: Data) -> dict[str, dict[str, dict[str, float]]]:
    """Floor name -> split -> metric -> value; nothing for a score, and no regression for very many rows."""
    judged = {name: rows for name, rows in (("dev", data.dev), ("test", data.test)) if rows}
    task = data.task
    if isinstance(task, TagTask):
        tags = {name: most_frequent_tags(task, data.train, rows) for name, rows in judged.items()}
        return {"word": {name: task.score(tags[name], rows) for name, rows in judged.items()}}
    if isinstance(task, FrameTask):
        return {"word": {name: most_frequent_frames(task, data.train, rows) for name, rows in judged.items()}}
    if isinstance(task, ChoiceTask):
        return choice_floors(task, data.train, judged)
    if not isinstance(task, SentenceTask) or task.kind != "classify":
        return {}
    gold = [int(task.gold(row, "train")) for row in data.train]
    most = Counter(gold).most_common(1)[0][0]
    found = {"majority": {name: scored(data, [most] * len(rows), rows) for name, rows in judged.items()}}
    if len(data.train) <= MOST_ROWS and judged:
        predict = tfidf_classifier(data.train, gold)
        found["tfidf"] = {name: scored(data, predict(rows), rows) for name, rows in judged.items()}
    return found


def choice_floors(
    task: ChoiceTask, train: Sequence[Row], judged: Mapping[str, Sequence[Row]]
) -> dict[str, dict[str, dict[str, float]]]:
    """The place where the right option stands most often, and how far the options alone give it away."""
    gold = [task.gold(row, "train") for row in train]
    place = Counter(gold).most_common(1)[0][0]

    def accuracy(chosen: Sequence[int], rows: Sequence[Row]) -> dict[str, float]:
        return task.score([ChoiceAnswer(number, "", []) for number in chosen], rows)

    found = {"place": {name: accuracy([place] * len(rows), rows) for name, rows in judged.items()}}
    options = [{"text": option} for row in train for option in row["choices"]]
    if len(options) > MOST_ROWS or not judged:
        return found
    right = [int(i == number) for row, number in zip(train, gold, strict=True) for i in range(len(row["choices"]))]
    odds = fitted(options, np.asarray(right), np.arange(len(options)), *USUAL, odds=True)

    def likeliest(rows: Sequence[Row]) -> list[int]:
        asked = [{"text": option} for row in rows for option in row["choices"]]
        ends = np.cumsum([len(row["choices"]) for row in rows])
        return [int(part.argmax()) for part in np.split(odds(asked, np.arange(len(asked))), ends[:-1])]

    found["options"] = {name: accuracy(likeliest(rows), rows) for name, rows in judged.items()}
    return found


def most_frequent_tags(task: TagTask, train: Sequence[Row], rows: Sequence[Row]) -> list[TagAnswer]:
    """Answers that know no context: of each word the tag it has most often in train, of a new word the commonest."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for word, tag in zip(task.words(row, "train")[0], task.gold(row, "train"), strict=True):
            counts[word][tag] += 1
    best = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    commonest = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    answers = []
    for row in rows:
        words, offsets, text = task.words(row, "rows")
        tags = [best.get(word, commonest) for word in words]
        answers.append(TagAnswer(words, offsets, text, tags, [1.0] * len(words)))
    return answers


def most_frequent_frames(task: FrameTask, train: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of the most frequent class with each word's most frequent tag."""
    most = task.intents.names[int(np.argmax(task.intents.counts))]
    slots = most_frequent_tags(task.slots, train, rows)
    return task.score([FrameAnswer(most, 1.0, {}, one) for one in slots], rows)


def scored(data: Data, classes: Sequence[int], rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of class numbers."""
    names = data.task.labels.names
    return data.task.score([Answer(names[number], 1.0) for number in classes], rows)


def tfidf_classifier(rows: Sequence[Row], classes: Sequence[int]) -> Callable[[Sequence[Row]], list[int]]:
    """A function from rows to class numbers, fitted on the words of each text, or on words and pairs of words.

    Of few rows the strength of the penalty, and whether pairs help, are chosen by cross-validation inside them, as a
    careful user would; of many rows both are taken as they usually come out.
    """
    target = np.asarray(classes)
    ways = list(product(NGRAMS, STRENGTHS)) if len(rows) <= CHOSEN_UP_TO else [USUAL]
    if len(ways) > 1:
        parts = list(folds(target))
        right = [sum((fitted(rows, target, train, *way)(rows, test) == target[test]).sum() for train, test in parts)
                 for way in ways]  # fmt: skip
        ways = [ways[int(np.argmax(right))]]
    predict = fitted(rows, target, np.arange(len(rows)), *ways[0])
    return lambda asked: [int(number) for number in predict(asked, np.arange(len(asked)))]


def folds(target: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(train, test) indices of cross-validation, each class in every fold where it has rows enough."""
    from sklearn.model_selection import KFold, StratifiedKFold

    smallest = int(np.unique(target, return_counts=True)[1].min())
    kind = KFold if smallest < 2 else StratifiedKFold
    number = min(FOLDS, len(target) if smallest < 2 else smallest)
    found: Iterator[tuple[np.ndarray, np.ndarray]] = kind(number, shuffle=True, random_state=0).split(target, target)
    return found


def fitted(
    rows: Sequence[Row],
    target: np.ndarray,
    chosen: np.ndarray,
    ngrams: int,
    strength: float,
    *,
    odds: bool = False,
) -> Callable[[Sequence[Row], np.ndarray], np.ndarray]:
    """TF-IDF of words up to `ngrams` in a row, and logistic regression, of the chosen rows; `odds` of two classes."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    roles = [role for role in ("text", "sentence1", "sentence2") if role in rows[0]]
    settings = {"sublinear_tf": True, "ngram_range": (1, ngrams), "token_pattern": WORDS}
    vectorizers = {role: TfidfVectorizer(**settings) for role in roles}
    texts = {role: [rows[i][role] for i in chosen] for role in roles}
    most = Counter(target[chosen].tolist()).most_common(1)[0][0]
    try:
        matrix = hstack([vectorizers[role].fit_transform(texts[role]) for role in roles]).tocsr()
    except ValueError:  # no word anywhere
        return lambda _, places: np.full(len(places), most)
    if len(np.unique(target[chosen])) < 2:
        return lambda _, places: np.full(len(places), most)
    model = LogisticRegression(C=strength, max_iter=1000).fit(matrix, target[chosen])

    def predict(asked: Sequence[Row], places: np.ndarray) -> np.ndarray:
        blocks = [vectorizers[role].transform([asked[i][role] for i in places]) for role in roles]
        matrix = hstack(blocks).tocsr()
        answers: np.ndarray = model.decision_function(matrix) if odds else model.predict(matrix)
        return answers

    return predict
