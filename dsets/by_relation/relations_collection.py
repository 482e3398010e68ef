"""The factual relations of `relations` (Hernandez et al. 2024, "Linearity of Relation Decoding in Transformer LMs")."""

import json
import re
from collections.abc import Iterator

from dsets.by_relation.collection import Collection
from dsets.by_relation.triples import Relation
from dsets.raw_rows import RawRow
from util.errors import UserError

NAMES = (
    *("city_in_country", "company_ceo", "company_hq", "country_capital_city", "country_currency", "country_language"),
    *("country_largest_city", "food_from_country", "landmark_in_country", "landmark_on_continent"),
    *("person_band_lead_singer", "person_father", "person_mother", "person_native_language", "person_occupation"),
    *("person_plays_instrument", "person_plays_position_in_sport", "person_plays_pro_sport", "person_university"),
    *("pokemon_evolutions", "presidents_birth_year", "presidents_election_year", "product_by_company"),
    *("star_constellation", "superhero_archnemesis", "superhero_person"),
)
FOLDER = "data/factual"
ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


class Relations(Collection):
    """A file a relation: templates, those made for prompts without examples behind the others, and samples.

    Some of upstream's samples have the escape of a letter in its place (``Bogot\\u00e1``); it is read as the letter.
    """

    folder = "relations"
    reading = "letters for their escapes"
    base = "https://raw.githubusercontent.com/evandez/relations/main/"
    paths = tuple(f"{FOLDER}/{name}.json" for name in NAMES)
    patterns = (f"{FOLDER}/*.json",)

    @classmethod
    def check(cls, path: str, content: bytes) -> int:
        """The samples of a file."""
        return len(_samples(_row(path, content)))

    @classmethod
    def relations(cls, content: dict[str, bytes]) -> Iterator[Relation]:
        """A relation per file."""
        for path, found in content.items():
            row = _row(path, found)
            listed = (*row.texts("prompt_templates"), *row.texts("prompt_templates_zs", optional=True))
            yield Relation(
                name=row.text("name"),
                source=path,
                templates=tuple(dict.fromkeys(one for one in listed if one.count("{}") == 1)),
                pairs=tuple(_samples(row)),
            )


def _row(path: str, content: bytes) -> RawRow:
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except ValueError as error:  # of the decoding, too
        raise UserError(f"{path} is not complete JSON ({error}); put upstream's file there") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is no JSON object with prompt_templates and samples; put upstream's file there")
    return RawRow(value, path, 0)


def _samples(row: RawRow) -> list[tuple[str, str]]:
    return [(_spelt(sample.text("subject")), _spelt(sample.text("object"))) for sample in row.rows("samples")]


def _spelt(text: str) -> str:
    return ESCAPES.sub(lambda found: json.loads(f'"{found[0]}"'), text)
