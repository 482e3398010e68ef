"""The sentences of the shipped facts, written for this repository: five a relation, the object behind each.

The first is the prompt, the last a question. ``a(n)`` becomes the article that the object takes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wording:
    """name: the relation's. pararel, relations: what the collections call it, where they have it. single: objects may
    stand once, as a capital does, and have no neighbours then."""

    name: str
    pararel: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    templates: tuple[str, str, str, str, str]
    single: bool = False


WORDINGS = (
    Wording(
        name="capital",
        pararel=("P36",),
        relations=("country capital city",),
        templates=(
            "The capital of {} is",
            "{} has its capital in",
            "The capital city of {} is called",
            "The government of {} chose as its capital the city of",
            "Which city is the capital of {}? It is",
        ),
        single=True,
    ),
    Wording(
        name="capital of",
        pararel=("P1376",),
        templates=(
            "{} is the capital of",
            "{} is the capital city of",
            "The city of {} serves as the capital of",
            "People come to {} to visit the capital of",
            "Of which country or region is {} the capital? It is the capital of",
        ),
        single=True,
    ),
    Wording(
        name="continent",
        pararel=("P30",),
        relations=("landmark on continent",),
        templates=(
            "{} is on the continent of",
            "The continent that {} belongs to is",
            "On a map of the world, {} is found on the continent of",
            "{} is part of the continent of",
            "Which continent is {} on? It is on the continent of",
        ),
    ),
    Wording(
        name="country",
        pararel=("P17",),
        relations=("landmark in country", "city in country"),
        templates=(
            "{} is in the country of",
            "The country that {} belongs to is",
            "Whoever wants to see {} has to travel to the country of",
            "{} is found in a country called",
            "Which country is {} in? It is in the country of",
        ),
    ),
    Wording(
        name="official language",
        pararel=("P37",),
        relations=("country language",),
        templates=(
            "The official language of {} is",
            "The language of government in {} is",
            "In {}, official papers are written in",
            "The laws of {} are published in",
            "What is the official language of {}? It is",
        ),
    ),
    Wording(
        name="native language",
        pararel=("P103",),
        relations=("person native language",),
        templates=(
            "The native language of {} is",
            "{} grew up speaking",
            "As a child, {} spoke",
            "The first language that {} learned was",
            "What is the mother tongue of {}? It is",
        ),
    ),
    Wording(
        name="occupation",
        pararel=("P106",),
        relations=("person occupation",),
        templates=(
            "By profession, {} was a(n)",
            "{} worked as a(n)",
            "{} earned a living as a(n)",
            "The career of {} was that of a(n)",
            "What did {} do for a living? The work was that of a(n)",
        ),
    ),
    Wording(
        name="headquarters",
        pararel=("P159",),
        relations=("company hq",),
        templates=(
            "The headquarters of {} are in",
            "{} has its head office in",
            "{} is run from its main office in",
            "The main seat of {} is in",
            "Where are the headquarters of {}? They are in",
        ),
    ),
    Wording(
        name="maker",
        pararel=("P176",),
        relations=("product by company",),
        templates=(
            "{} is made by",
            "The maker of {} is",
            "{} is a product of",
            "{} was brought to market by",
            "Which company makes {}? It is made by",
        ),
    ),
    Wording(
        name="developer",
        pararel=("P178",),
        templates=(
            "{} was developed by",
            "The developer of {} is",
            "The engineers who built {} worked at",
            "{} is software and technology from",
            "Who developed {}? It was developed by",
        ),
    ),
    Wording(
        name="owner",
        pararel=("P127",),
        templates=(
            "{} is owned by",
            "The owner of {} is",
            "{} belongs to",
            "{} is the property of",
            "Who owns {}? It is owned by",
        ),
    ),
    Wording(
        name="broadcaster",
        pararel=("P449",),
        templates=(
            "{} was first broadcast on",
            "The network that first showed {} is",
            "{} premiered on",
            "Viewers first saw {} on",
            "On which network did {} first air? It first aired on",
        ),
    ),
    Wording(
        name="original language",
        pararel=("P364",),
        templates=(
            "The original language of {} is",
            "{} was first made in the language called",
            "Those who appear in {} speak",
            "Without a translation, {} is heard in",
            "In which language was {} made? It was made in",
        ),
    ),
    Wording(
        name="language of the text",
        pararel=("P407",),
        templates=(
            "The language of {} is",
            "{} is written in",
            "The words of {} are in",
            "To understand {} in the original, one has to know",
            "In which language is {} written? It is written in",
        ),
    ),
    Wording(
        name="position in sport",
        pararel=("P413",),
        relations=("person sport position",),
        templates=(
            "In sport, {} plays as a(n)",
            "The position of {} is that of a(n)",
            "On the field, {} was a(n)",
            "In the team, {} had the part of a(n)",
            "Which position does {} play? It is that of a(n)",
        ),
    ),
    Wording(
        name="instrument",
        pararel=("P1303",),
        relations=("person plays instrument",),
        templates=(
            "{} plays the",
            "The instrument of {} is the",
            "On stage, {} performs on the",
            "{} is known for playing the",
            "Which instrument does {} play? It is the",
        ),
    ),
    Wording(
        name="sport",
        relations=("plays pro sport",),
        templates=(
            "The sport that {} plays is",
            "{} is a professional in the sport of",
            "{} became famous for playing",
            "On television, {} was seen in games of",
            "Which sport does {} play? It is",
        ),
    ),
    Wording(
        name="country of origin",
        pararel=("P495",),
        relations=("food from country",),
        templates=(
            "{} comes from the country of",
            "The country of origin of {} is",
            "{} was created in the country of",
            "{} was first known in a country called",
            "Which country does {} come from? It comes from the country of",
        ),
    ),
    Wording(
        name="place of birth",
        pararel=("P19",),
        templates=(
            "{} was born in",
            "The birthplace of {} is",
            "The life of {} began in",
            "The parents of {} lived, when the child was born, in",
            "Where was {} born? The birthplace is",
        ),
    ),
    Wording(
        name="place of death",
        pararel=("P20",),
        templates=(
            "{} died in",
            "The place where {} died is",
            "The life of {} ended in",
            "{} spent the last days of life in",
            "Where did {} die? The place is",
        ),
    ),
    Wording(
        name="citizenship",
        pararel=("P27",),
        templates=(
            "{} is a citizen of",
            "{} holds the citizenship of",
            "The home country of {} is",
            "The country that {} is a national of is",
            "Of which country is {} a citizen? The country is",
        ),
    ),
    Wording(
        name="employer",
        pararel=("P108",),
        templates=(
            "{} works for",
            "The employer of {} is",
            "{} is employed by",
            "{} is on the staff of",
            "Who employs {}? The employer is",
        ),
    ),
    Wording(
        name="field of work",
        pararel=("P101",),
        templates=(
            "{} works in the field of",
            "The field of {} is",
            "The work of {} belongs to",
            "{} is an authority in",
            "In which field does {} work? The field is",
        ),
    ),
    Wording(
        name="religion",
        pararel=("P140",),
        templates=(
            "The religion of {} is",
            "{} follows the religion of",
            "The faith of {} is",
            "In religion, {} stands for",
            "What is the religion of {}? It is",
        ),
    ),
    Wording(
        name="place of foundation",
        pararel=("P740",),
        templates=(
            "{} was founded in",
            "The place where {} was formed is",
            "{} started out in",
            "The history of {} began in",
            "Where was {} founded? The place is",
        ),
    ),
    Wording(
        name="genre",
        pararel=("P136",),
        templates=(
            "The genre of {} is",
            "{} is known for a genre called",
            "The works of {} are put under",
            "In a shop, {} is found on the shelf for",
            "What is the genre of {}? It is",
        ),
    ),
    Wording(
        name="currency",
        relations=("country currency",),
        templates=(
            "The currency of {} is the",
            "The money used in {} is called the",
            "In {}, people pay with the",
            "Prices in {} are given in the",
            "What is the currency of {}? It is the",
        ),
        single=True,
    ),
)

WRONG = {
    ("capital of", "Chongqing", "Taiwan"),
    ("capital of", "Westminster", "England"),
    ("capital of", "Winchester", "England"),
    ("citizenship", "Camille Bulcke", "India"),
    ("owner", "Viacom", "CBS"),
    ("place of death", "Ambrose", "London"),
    ("religion", "bishop", "Christianity"),
    ("capital of", "Aden", "Yemen"),
    ("capital of", "Rio de Janeiro", "Brazil"),
    ("country", "New England", "Australia"),
    ("continent", "Viking Age", "Europe"),
    ("field of work", "Paul McCartney", "musician"),
    ("official language", "Nokia", "Finnish"),
    ("owner", "compact disc", "Sony"),
    ("place of death", "Nicholas II", "Florence"),
    ("place of foundation", "Fucked Up", "Toronto"),
    ("capital of", "Beijing", "Taiwan"),
    ("genre", "The Beatles", "blues"),
    ("country of origin", "Dannii Minogue", "Australia"),
    ("occupation", "Michelangelo", "poet"),
    ("occupation", "Aristotle", "mathematician"),
    ("occupation", "Johann Wolfgang von Goethe", "politician"),
}
"""(relation, subject, object) of the collections that are no fact, or one that nobody would ask for."""
