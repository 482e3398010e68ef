"""How texts are put together and looked into: where words end, what stands between a prompt and its answer.

Scripts are told by Unicode ranges, because Python's own tables do not name them.
"""

import re
from unicodedata import category, is_normalized, normalize

UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x312F),  # Han radicals, CJK punctuation, Hiragana, Katakana, Bopomofo
    (0x3190, 0x9FFF),  # further kana and enclosed letters, Han
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF01, 0xFF9F),  # full-width forms, half-width Katakana
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)
"""Code points of the scripts that are written without spaces between words: those of Unicode's line breaking classes ID
and SA (UAX #14) and their punctuation. Hangul is not among them: Korean puts spaces."""

HANGUL = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF))

STRAIGHT_QUOTES = "\"'`"
CLOSING = {"»": "«", "›": "‹", "«": "»", "‹": "›", "”": "“„", "’": "‘‚", "“": "„", "‘": "‚"}
"""Marks that close a quotation in some languages and open one in others, with what opens it where they close it."""


def _within(letter: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(letter) <= last for first, last in ranges)


def unspaced(letter: str) -> bool:
    """Whether a character belongs to a script that is written without spaces."""
    return _within(letter, UNSPACED)


def separator(prompt: str, answer: str) -> str:
    """What stands between a prompt and its answer, "" or one space.

    Nothing after white space, after an opening bracket or quotation mark, after a script without spaces, and before
    such a script where the prompt's last word has some of it (``根据IMF`` + ``中国``). A space
    otherwise: after English also before ``東京``, and in Korean.
    """
    if not prompt or prompt[-1].isspace() or unspaced(prompt[-1]) or _opens(prompt):
        return ""
    first, word = answer.lstrip()[:1], prompt.split()[-1]
    return "" if first and unspaced(first) and any(map(unspaced, word)) else " "


def _opens(text: str) -> bool:
    """Whether a text ends in an opening bracket or quotation mark.

    A quotation mark right after a letter or digit closes, and one whose counterpart stands open before it. A straight
    one opens after a space or an opening mark, and after other characters if it is without a partner.
    """
    mark, rest, before = text[-1], text[:-1], text[-2:-1]
    if category(mark) == "Ps":
        return True
    if (mark not in CLOSING and mark not in STRAIGHT_QUOTES) or (before.isalnum() and not unspaced(before)):
        return False
    if mark in CLOSING:
        return sum(map(rest.count, CLOSING[mark])) <= rest.count(mark)
    return not before or before.isspace() or category(before) in ("Ps", "Pi") or rest.count(mark) % 2 == 0


def given_and_asked(prompt: str, answer: str, prefix: str | None = None) -> tuple[str, str]:
    """The text that is given and the text that is asked for; together prompt, separator and answer as written.

    prefix: what stands between prompt and answer, by `separator` where it is None. Plain spaces at the end of what is
    given belong to what is asked for, because tokenizers join a word with the space before it; other white space stays
    given. White space before the answer is dropped.
    """
    before = prompt + (separator(prompt, answer) if prefix is None else prefix)
    given = before.rstrip(" ")
    return given, before[len(given) :] + answer.lstrip()


def occurrences(text: str, name: str) -> list[tuple[int, int]]:
    """(begin, end) of every place where a text has a name as a word or words of its own, not inside others.

    Both are compared in Unicode's composed form (NFC), whatever form they have. In a script without spaces every place
    counts; in Korean a particle may follow.
    """
    if is_normalized("NFC", text) and is_normalized("NFC", name):
        places = [match.span() for match in re.finditer(re.escape(name), text)] if name in text else []
    else:
        places = _composed_places(text, normalize("NFC", name))
    return [(begin, end) for begin, end in places if _parts(text, begin) and _parts(text, end, particles=True)]


def _composed_places(text: str, name: str) -> list[tuple[int, int]]:
    longest = len(normalize("NFD", name))
    starts = [i for i, letter in enumerate(text) if not _is_mark(letter)]
    return [
        (begin, end)
        for begin in starts
        for end in range(begin + 1, min(begin + longest, len(text)) + 1)
        if not _is_mark(text[end : end + 1]) and normalize("NFC", text[begin:end]) == name
    ]


def _parts(text: str, place: int, particles: bool = False) -> bool:
    """Whether a word may end at a place of a text and another begin there."""
    before, after = text[:place][-1:], text[place : place + 1]
    if _is_mark(after):
        return False
    if particles and before and after and _within(before, HANGUL) and _within(after, HANGUL):
        return True
    return not (_in_word(before) and _in_word(after)) or unspaced(before) or unspaced(after)


def _is_mark(letter: str) -> bool:
    """Whether it belongs to the letter before it: combining marks, a Hangul syllable's vowel and end in NFD."""
    return bool(letter) and (category(letter).startswith("M") or "\u1160" <= letter <= "\u11ff")


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_" or _is_mark(letter)
