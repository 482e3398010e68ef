"""Subjects that do not exist: what a model makes of a name that it knows nothing about."""

import random

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
