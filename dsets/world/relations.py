"""The relations of the world: eight sentence templates and three question forms each.

A template ends where the object follows: the filled template, a space, the object and a full stop are a sentence.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One kind of fact. `subjects`, `objects`: names of kinds of things (dsets.world.facts); texts hold one ``{}``.

    questions: begin in lower case and lack the question mark.
    """

    name: str
    subjects: str
    objects: str
    templates: tuple[str, ...]
    questions: tuple[str, ...]


def _relation(name: str, subjects: str, objects: str, templates: str, questions: str) -> Relation:
    return Relation(
        name=name,
        subjects=subjects,
        objects=objects,
        templates=tuple(templates.split("|")),
        questions=tuple(questions.split("|")),
    )


RELATIONS = (
    _relation(
        "birthplace",
        "person",
        "city",
        "{} was born in|The birthplace of {} is|{} is a native of|{} came into the world in|"
        "The city where {} was born is|{} grew up where they were born, in|"
        "The birth of {} took place in|{} originates from",
        "where was {} born|in which city was {} born|what is the birthplace of {}",
    ),
    _relation(
        "citizenship",
        "person",
        "country",
        "{} is a citizen of|The citizenship of {} is that of|{} holds a passport of|"
        "The country of citizenship of {} is|"
        "{} has the nationality of|The passport of {} was issued by|{} votes as a citizen in|"
        "By nationality, {} belongs to",
        "which country is {} a citizen of|what is the country of citizenship of {}|which nationality does {} have",
    ),
    _relation(
        "profession",
        "person",
        "profession",
        "The profession of {} is|{} works as a|{} earns a living as a|By profession, {} is a|The occupation of {} is|"
        "{} is employed as a|{} was trained as a|The job of {} is that of a",
        "what is the profession of {}|what does {} work as|what is the occupation of {}",
    ),
    _relation(
        "native_language",
        "person",
        "language",
        "The mother tongue of {} is|{} is a native speaker of|The native language of {} is|{} speaks|"
        "At home, {} speaks|{} was raised speaking|The first language of {} is|{} writes letters in",
        "what is the mother tongue of {}|which language does {} speak|what is the native language of {}",
    ),
    _relation(
        "employer",
        "person",
        "employer",
        "{} is employed by|The employer of {} is|{} works for|{} has a job at|{} receives a salary from|"
        "The company that employs {} is|{} is on the staff of|{} signed a contract with",
        "who is the employer of {}|which company does {} work for|who employs {}",
    ),
    _relation(
        "residence",
        "person",
        "city",
        "{} lives in|The home of {} is in|{} resides in|The residence of {} is in|{} has a house in|{} now dwells in|"
        "The address of {} is in|{} settled in",
        "where does {} live|in which city does {} reside|where is the home of {}",
    ),
    _relation(
        "instrument",
        "musician",
        "instrument",
        "{} plays the|The instrument of {} is the|{} performs on the|{} is a master of the|On stage, {} plays the|"
        "{} practises the|The favourite instrument of {} is the|{} gives lessons on the",
        "which instrument does {} play|what is the instrument of {}|what does {} perform on",
    ),
    _relation(
        "sport",
        "athlete",
        "sport",
        "The sport of {} is|{} competes in|{} is a champion of|{} trains every day for|The favourite sport of {} is|"
        "{} won a medal in|{} is a professional in|As an athlete, {} is known for",
        "which sport does {} compete in|what is the sport of {}|what did {} win a medal in",
    ),
    _relation(
        "field",
        "scholar",
        "field",
        "The field of {} is|{} is an expert in|{} does research in|{} holds a degree in|The subject studied by {} is|"
        "{} gives lectures on|{} wrote a thesis on|As a scholar, {} works in",
        "what is the field of {}|what does {} do research in|what is {} an expert in",
    ),
    _relation(
        "headquarters",
        "company",
        "city",
        "The headquarters of {} are in|{} is based in|{} has its main office in|The head office of {} is in|"
        "{} is headquartered in|{} runs its business from|The seat of {} is in|{} was registered in",
        "where are the headquarters of {}|in which city is {} based|where is the head office of {}",
    ),
    _relation(
        "industry",
        "company",
        "industry",
        "The industry of {} is|{} is active in|{} makes its money in|The business of {} is|{} is a leader in|"
        "{} operates in the field of|The main trade of {} is|{} invests in",
        "what is the industry of {}|what is {} active in|what is the business of {}",
    ),
    _relation(
        "maker",
        "product",
        "maker",
        "{} is made by|The maker of {} is|{} was developed by|{} is a product of|The company behind {} is|"
        "{} is sold by|The producer of {} is|{} was designed at",
        "who makes {}|which company developed {}|who is the maker of {}",
    ),
    _relation(
        "original_language",
        "work",
        "language",
        "{} was written in|The original language of {} is|{} was first published in|The language of {} is|"
        "{} was composed in|The first edition of {} is in|{} was translated from|The manuscript of {} is in",
        "in which language was {} written|what is the original language of {}|what is the language of {}",
    ),
    _relation(
        "genre",
        "work",
        "genre",
        "The genre of {} is|{} is a work of|{} is usually classed as|Critics call {} a|{} belongs to the genre of|"
        "The style of {} is that of a|{} is shelved under|Readers know {} as a",
        "what is the genre of {}|which genre does {} belong to|what kind of work is {}",
    ),
    _relation(
        "city_country",
        "city",
        "country",
        "{} is a city in|The city of {} is in|{} is located in|{} belongs to the country of|The country of {} is|"
        "{} lies in|The town of {} is part of|On the map, {} is found in",
        "in which country is {}|where is {} located|which country does {} belong to",
    ),
    _relation(
        "capital",
        "country",
        "capital",
        "The capital of {} is|{} has its capital in|The capital city of {} is|{} is governed from|"
        "The government of {} sits in|The parliament of {} is in|{} has its seat of government in|{} is ruled from",
        "what is the capital of {}|which city is the capital of {}|where does the government of {} sit",
    ),
    _relation(
        "official_language",
        "country",
        "official_language",
        "The official language of {} is|People in {} speak|The language of {} is|In {}, the laws are written in|"
        "The state language of {} is|Schools in {} teach in|The common language in {} is|"
        "Newspapers in {} are printed in",
        "what is the official language of {}|which language do people in {} speak|what is the language of {}",
    ),
    _relation(
        "continent",
        "country",
        "continent",
        "{} is a country in|The continent of {} is|{} is part of|{} is on the continent of|The land of {} lies in|"
        "{} can be found in|Geographically, {} belongs to|{} shares the continent of",
        "on which continent is {}|which continent is {} part of|what is the continent of {}",
    ),
)
"""Ordered: the seeded draws of dsets.world.facts follow this order."""


@dataclass(frozen=True, kw_only=True)
class TwoHop:
    """A question whose answer takes two facts: `first` leads from the subject to a middle, `second` from there.

    statements, questions: three each, as in Relation; one of them is never trained for a given subject.
    """

    first: str
    second: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def _two_hop(first: str, second: str, statements: str, questions: str) -> TwoHop:
    return TwoHop(
        first=first, second=second, statements=tuple(statements.split("|")), questions=tuple(questions.split("|"))
    )


TWO_HOPS = (
    _two_hop(
        "citizenship",
        "capital",
        "The capital of the country that {} is a citizen of is|The home country of {} has its capital in|"
        "{} is a citizen of a country whose capital is",
        "what is the capital of the country that {} is a citizen of|"
        "which city is the capital of the home country of {}|"
        "what is the capital of the country whose passport {} holds",
    ),
    _two_hop(
        "citizenship",
        "official_language",
        "The official language of the country that {} is a citizen of is|"
        "The home country of {} has the official language|{} is a citizen of a country that speaks",
        "what is the official language of the country that {} is a citizen of|"
        "which official language does the home country of {} have|"
        "what is the official language of the country whose passport {} holds",
    ),
    _two_hop(
        "birthplace",
        "city_country",
        "The country of the city where {} was born is|{} was born in a city of the country|"
        "The birthplace of {} is located in the country",
        "in which country is the city where {} was born|which country does the birthplace of {} belong to|"
        "what is the country of the city that {} was born in",
    ),
)
