"""The sentences of the shipped facts, written for this repository: five a relation, the object behind each.

The first is the prompt: one after which a small model (SmolLM2-135M-Instruct) often names the object at once, for where
it goes on with other words it may know the fact all the same. The last is a question. ``a(n)`` becomes the article that
the object takes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wording:
    """name: the relation's. pararel, relations: what the collections call it, where they have it. single: objects may
    stand once, as a capital does, and have no neighbours then. cities: countries are no objects.
    lower: objects are written in lower case, which the collections do not do."""

    name: str
    pararel: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    templates: tuple[str, str, str, str, str]
    single: bool = False
    cities: bool = False
    lower: bool = False


WORDINGS = (
    Wording(
        name="capital",
        pararel=("P36",),
        relations=("country capital city",),
        templates=(
            "The capital of {} is",
            "The capital city of {} is called",
            "The government of {} chose as its capital the city of",
            "{} has its capital in the city of",
            "Which city is the capital of {}? It is the city of",
        ),
        single=True,
    ),
    Wording(
        name="capital of",
        pararel=("P1376",),
        templates=(
            "The city of {} serves as the capital of",
            "{} is the capital city of",
            "People come to {} to visit the capital of",
            "The city of {} is the seat of the government of",
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
            "On a map of the world, {} is found on the continent of",
            "{} is part of the continent of",
            "Travellers to {} visit the continent of",
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
            "In {}, official papers are written in",
            "The language of government in {} is",
            "The people of {} have an official language, which is",
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
            "The first language of {} was",
            "The mother tongue of {} is",
            "What is the native language of {}? The native language is",
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
            "The headquarters of {} lie in the city of",
            "{} has its head office in the city of",
            "The main seat of {} is in",
            "Where are the headquarters of {}? They are in",
        ),
        cities=True,
    ),
    Wording(
        name="maker",
        pararel=("P176",),
        relations=("product by company",),
        templates=(
            "The company that makes {} is",
            "{} is made by",
            "The maker of {} is",
            "{} was brought to market by",
            "Which company makes {}? It is made by",
        ),
    ),
    Wording(
        name="developer",
        pararel=("P178",),
        templates=(
            "The company that developed {} is",
            "{} was created by",
            "{} was developed by",
            "{} is software and technology from",
            "Who developed {}? It was developed by",
        ),
    ),
    Wording(
        name="owner",
        pararel=("P127",),
        templates=(
            "The current owner of {} is",
            "{} is owned by",
            "{} belongs to",
            "{} is the property of",
            "Who owns {}? It is owned by",
        ),
    ),
    Wording(
        name="broadcaster",
        pararel=("P449",),
        templates=(
            "The television network that first aired {} was",
            "{} was originally shown on the television channel",
            "{} premiered on",
            "The network of {} is",
            "On which network did {} first air? It first aired on",
        ),
    ),
    Wording(
        name="original language",
        pararel=("P364",),
        templates=(
            "The original version of {} is in",
            "The original language of {} is",
            "{} was first made in the language called",
            "Without a translation, {} is heard in",
            "In which language was {} made? It was made in",
        ),
    ),
    Wording(
        name="language of the text",
        pararel=("P407",),
        templates=(
            "The text of {} is in",
            "{} is written in",
            "The words of {} are in",
            "{} was written in",
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
            "{} is known for playing the",
            "The main instrument of {} is the",
            "{} became famous playing the",
            "On stage, {} performs on the",
            "Which instrument does {} play? It is the",
        ),
    ),
    Wording(
        name="sport",
        relations=("plays pro sport",),
        templates=(
            "{} is known for playing professional",
            "{} is a professional in the sport of",
            "The sport that {} plays is",
            "On television, {} was seen in games of",
            "Which sport does {} play? It is",
        ),
    ),
    Wording(
        name="country of origin",
        pararel=("P495",),
        relations=("food from country",),
        templates=(
            "The country of origin of {} is",
            "{} was created in the country of",
            "{} comes from the country of",
            "{} was first known in a country called",
            "Which country does {} come from? It comes from the country of",
        ),
    ),
    Wording(
        name="place of birth",
        pararel=("P19",),
        templates=(
            "The city where {} was born is",
            "{} was born in the city of",
            "{} comes from the city of",
            "The birthplace of {} is the city of",
            "Where was {} born? It was in the city of",
        ),
        cities=True,
    ),
    Wording(
        name="place of death",
        pararel=("P20",),
        templates=(
            "{} died in the city of",
            "The city where {} died is",
            "The life of {} ended in the city of",
            "{} spent the last days of life in the city of",
            "Where did {} die? It was in the city of",
        ),
        cities=True,
    ),
    Wording(
        name="citizenship",
        pararel=("P27",),
        templates=(
            "{} is a national of the country of",
            "{} comes from the country of",
            "The country that {} is a national of is",
            "{} was a citizen of the country of",
            "Of which country is {} a citizen? The country is",
        ),
    ),
    Wording(
        name="employer",
        pararel=("P108",),
        templates=(
            "The company or institution that employs {} is",
            "The employer of {} is",
            "{} works for",
            "{} is on the staff of",
            "Who employs {}? The employer is",
        ),
    ),
    Wording(
        name="field of work",
        pararel=("P101",),
        templates=(
            "{} made contributions to the field of",
            "{} works in the field of",
            "{} is known for work in the field of",
            "The field of {} is",
            "In which field does {} work? The field is",
        ),
    ),
    Wording(
        name="religion",
        pararel=("P140",),
        templates=(
            "{} is associated with the religion of",
            "{} follows the religion of",
            "The faith of {} is",
            "The religion of {} is called",
            "What is the religion of {}? It is",
        ),
    ),
    Wording(
        name="place of foundation",
        pararel=("P740",),
        templates=(
            "The city where {} was founded is",
            "{} was founded in the city of",
            "{} started out in the city of",
            "The history of {} began in the city of",
            "Where was {} founded? It was in the city of",
        ),
        cities=True,
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
        lower=True,
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
