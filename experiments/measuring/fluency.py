"""How fluent generated text is, and how close it stays to a fact's subject matter. Pure: texts in, numbers out.

The two generation tests of CounterFact (ROME, Meng et al. 2022, appendix on metrics). The deviations from its released
evaluation are stated with each function.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence

from dsets import Record

ENTROPY_WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""n → weight of the entropy of n-grams; a text's figure is the mean of the weighted entropies."""


def ngram_entropy(texts: Sequence[str]) -> float | None:
    """Mean over texts of the weighted bi- and trigram entropy, in bits; low where a text repeats itself.

    For n in 2, 3: H_n = −Σ f log₂ f over the frequencies f of the text's n-grams; the text's figure is
    (2/3 · H_2 + 4/3 · H_3) / 2. A text too short for an n-gram has H_n = 0. None without texts.
    Deviation: tokens are runs of letters and digits and single punctuation marks, not those of NLTK's tokenizer.
    """
    return statistics.fmean(_text_entropy(text) for text in texts) if texts else None


def _text_entropy(text: str) -> float:
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return statistics.fmean(weight * _entropy(tokens, n) for n, weight in ENTROPY_WEIGHTS.items())


def _entropy(tokens: list[str], n: int) -> float:
    counts = Counter(zip(*(tokens[start:] for start in range(n))))
    total = counts.total()
    return sum(count / total * math.log2(total / count) for count in counts.values())


def reference_score(texts: Sequence[str], references: Sequence[str]) -> float | None:
    """Cosine of the TF-IDF vectors of all texts together and all references together, in percent (0 to 100).

    TF is a word's count, IDF = ln((1 + N) / (1 + df)) + 1 with df out of the N references; words are lower-case and
    have at least two letters or digits. None without texts or without references; 0 where one side has no word.
    Deviations: ROME takes IDF from Wikipedia at large and drops words it lacks. Here it comes from the references, and
    a word they lack counts with df = 0, so that a text which leaves the subject loses by it. And ROME's references are
    about the new object, which an edit is to bring about; unlearning has none, so ours are about the true one, and a
    low score is wanted.
    """
    if not texts or not references:
        return None
    documents = [_words(reference) for reference in references]
    df = Counter(word for document in documents for word in set(document))
    said, known = Counter(word for text in texts for word in _words(text)), Counter(sum(documents, []))
    idf = {word: math.log((1 + len(documents)) / (1 + df[word])) + 1 for word in said | known}
    dot = sum(said[word] * known[word] * idf[word] ** 2 for word in said)
    norms = math.prod(
        math.sqrt(sum((count * idf[word]) ** 2 for word, count in side.items())) for side in (said, known)
    )
    return 100 * dot / norms if norms else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w\w+", text.lower())


def reference_statements(record: Record) -> list[str]:
    """What is true of other subjects with the record's true object: its neighbourhood prompts with their answers.

    A stand-in where there are no Wikipedia snippets about such subjects (dsets/snippets.py): shorter and more alike, so
    figures are comparable before and after an edit and between methods, not with published ones. Attribute prompts are
    left out: their object is the record's alternative answer, which unlearning does not write.
    """
    return [f"{probe.prompt} {probe.answer}" for probe in record.neighborhood]
