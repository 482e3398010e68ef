"""From scores to percentages. Pure: numbers in, numbers out.

A fact's scores are one flag per answer token (`Flags`). Data sets differ in what they make of them: CounterFact asks
for ALL tokens of the object, zsRE and MQuAKE take the share of tokens that are right.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

Flags = Sequence[bool]


def all_right(flags: Flags) -> float:
    """1 if every token is right, else 0."""
    return float(all(flags))


def share_right(flags: Flags) -> float:
    """Share of the tokens that are right."""
    return sum(flags) / len(flags)


CREDIT: dict[str, Callable[[Flags], float]] = {"counterfact": all_right, "zsre": share_right, "mquake": share_right}
"""What one scored answer counts, by the data set's `metric`."""


def percent(values: Iterable[float]) -> float | None:
    """100 × mean; None when there is nothing to average."""
    values = list(values)
    return 100 * statistics.fmean(values) if values else None


def accuracy(answers: Iterable[Flags], metric: str) -> float | None:
    """Mean credit of single answers, one per fact, in percent."""
    return percent(CREDIT[metric](flags) for flags in answers)


def accuracy_of_groups(groups: Iterable[Sequence[Flags]], metric: str) -> float | None:
    """Mean over facts of the mean credit over a fact's prompts, in percent; facts without prompts do not count."""
    return percent(statistics.fmean(CREDIT[metric](flags) for flags in group) for group in groups if group)


def constant_answer(facts: Iterable[tuple[str, str]], drawn: Iterable[tuple[str, str]]) -> float | None:
    """Share of the drawn (relation, answer) that are right if each relation's most frequent answer is given, percent.

    How often an answer is given is told from `facts`, all from which was drawn; of equals the first in the alphabet. A
    relation of one fact has no most frequent answer and counts as wrong; None where every relation is such a one.
    """
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for relation, answer in facts:
        counted[relation][answer] += 1
    usual = {
        relation: min(answers, key=lambda answer: (-answers[answer], answer))
        for relation, answers in counted.items()
        if answers.total() > 1
    }
    return percent(float(usual.get(relation) == answer) for relation, answer in drawn) if usual else None


def success(pairs: Iterable[tuple[float, float]]) -> dict[str, float | None]:
    """(P(true), P(new)) per fact → the share with P(true) < P(new) and the mean of P(new) − P(true), in percent."""
    pairs = list(pairs)
    return {
        "success": percent(float(true < new) for true, new in pairs),
        "difference": percent(new - true for true, new in pairs),
    }


def normalise(text: str, *, fold: bool = True) -> str:
    """Lower-case words (with `fold`) separated by single spaces, punctuation and articles left out."""
    letters = text.casefold() if fold else text
    words = "".join(letter if letter.isalnum() else " " for letter in letters).split()
    return " ".join(word for word in words if word.casefold() not in ("a", "an", "the"))


def answers_question(generated: str, answers: Iterable[str]) -> bool:
    """Whether the first line of a generated text names one of the answers as a whole word or words.

    Capitals do not matter, but for an abbreviation (up to three letters, all capitals): "US" is not the word "us".
    """
    lines = generated.strip().splitlines()
    return bool(lines) and any(names_answer(lines[0], answer) for answer in answers)


def names_answer(text: str, answer: str) -> bool:
    """The same of a whole text and one answer."""
    words = normalise(answer, fold=False)
    fold = not (words.isupper() and sum(map(str.isalpha, words)) <= 3)
    words = normalise(answer, fold=fold)
    return bool(words) and f" {words} " in f" {normalise(text, fold=fold)} "


def mean_and_deviation(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Mean and population standard deviation over seeds; None when no seed has a value."""
    known = [value for value in values if value is not None]
    return (statistics.fmean(known), statistics.pstdev(known)) if known else None
