"""Subjects that do not exist: what a model makes of a name that it knows nothing about."""

import random
from collections.abc import Sequence
from dataclasses import replace

from util.request import Request

BEGINNINGS: tuple[str, ...] = (
    "Bel",
    "Cor",
    "Dar",
    "El",
    "Fen",
    "Gal",
    "Har",
    "Il",
    "Jor",
    "Kel",
    "Lun",
    "Mor",
    "Nev",
    "Or",
    "Pel",
)
BEGINNINGS += ("Quel", "Ros", "Sel", "Tor", "Ul", "Ven", "Wil", "Yar", "Zel")
MIDDLES = ("a", "e", "i", "o", "u", "ara", "eni", "ilo", "oma", "une")
ENDINGS = ("bry", "dale", "fin", "gard", "lia", "mond", "nor", "rick", "san", "tis", "vane", "win", "xor", "zen")


def invented_names(count: int, seed: int = 0) -> list[str]:
    """`count` different names of two words, put together from syllables; the same for the same seed, and the first
    ones are the same for every count. They are meant to be nobody's and nothing's name, which is not looked up."""
    draw, found = random.Random(f"invented {seed}"), dict[str, None]()
    while len(found) < count:
        words = (draw.choice(BEGINNINGS) + draw.choice(MIDDLES) + draw.choice(ENDINGS) for _ in range(2))
        found[" ".join(words)] = None
    return list(found)


def about_nobody(requests: Sequence[Request], count: int, seed: int = 0) -> list[Request]:
    """`count` requests about invented subjects, each under a name of its own, in the forms of `requests`.

    A form is a request's prompt with what stands around it; each is used equally often, and where there are more forms
    than `count`, every so-manieth is.
    """
    forms = list({(one.prompt, one.answer_prefix, one.frame): one for one in requests}.values())
    names = invented_names(count, seed)
    return [replace(forms[i * len(forms) // count], subject=name) for i, name in enumerate(names)]
