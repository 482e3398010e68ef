"""Invented names: the pieces that subjects are put together from, and the objects that facts share."""


def _words(text: str, separator: str = " ") -> tuple[str, ...]:
    return tuple(text.split(separator))


FIRST_NAMES = _words(
    "Nils Mara Tomas Ilse Bram Zofia Emil Runa Pavel Lena Osric Dalia Hugo Sanna Ivo Petra Anselm Noor Felix Greta "
    "Matteo Yara Jonas Selma Radu Elin Cyrus Vera Timon Asta Luka Inga Oskar Mira Stellan Carla Viktor Nadia "
    "Edgar Freya"
)

LAST_NAMES = _words(
    "Delgado Halvorsen Brandt Kovar Lindqvist Moreau Ostrander Petrak Quillon Rademaker Sorensen Tarrant Ulrich "
    "Vasquez Wexler Yardley Zeman Albright Bergstrom Castellan Drummond Eberhart Farrow Grunwald Hollis Ivarsson "
    "Jansky Kessler Lorimer Marchetti Novak Oduya Pruitt Renshaw Salazar Thorne Umber Varga Whitlock Yildiz Zorin "
    "Ashby Boman Corvin Dacosta Engel Fontaine Garrick Hedlund Isaksen"
)

MIDDLE_NAMES = ("", "", "", "J.", "van", "de", "K.")
"""Between first and last name; three in seven people have none."""

UNKNOWN_PARTS = _words("bra tel kin zu mor dal fen gri sho lup var nek rus tam pel wi dro xan fel mok hir jas cor lin")
"""Syllables of names that nobody in the world has."""

COMPANY_ROOTS = _words(
    "Aldern Borex Calyx Dynor Elvane Fenwick Galtro Helix Inkwell Jorvik Kestrel Lumora Merid Norvane Oberon Pallas "
    "Quorra Rivet Solace Tundra Umbra Vantor Wisteria Xylo Yarrow Zephyr Argent Basalt Cinder Dorset"
)
COMPANY_KINDS = ("Works", "Systems", "Foods", "Motors", "Holdings", "Partners")

PRODUCT_ROOTS = _words(
    "Astra Bolt Comet Drift Ember Flint Glide Haven Iris Jolt Karma Lyric Mosaic Nova Onyx Prism Quartz Ripple Spark "
    "Talon Vapor Willow Zenith Acorn Breeze"
)
PRODUCT_KINDS = ("Mini", "Pro", "Max", "One", "X2", "500", "Lite", "Prime")

WORK_ADJECTIVES = _words(
    "Silent Golden Broken Hidden Distant Crimson Winter Hollow Burning Frozen Paper Iron Endless Velvet Forgotten Blue"
)
WORK_NOUNS = _words("River Garden Mirror Harbor Tower Lantern Forest Letter Orchard Bridge Shadow Crown Island Clock")

CITIES = _words(
    "Velmar|Port Torvo|Kessing|San Ledo|Brindal|Ostermund|Halden Bay|Myrefors|Calvina|Drossen|New Arlow|Fennick|"
    "Galdoro|Hestia|Ilmar|Port Jasper|Korsund|Lavinia|San Mireo|Nordby|Orvieda|Pellham|Quarra|Rosk|Saltmere|Tarnow Bay|"
    "Ulvik|Vashti|Wendel|New Ystad|Zamora Hill|Amberlo|Bexley|Corrado|Dunmore|Eskil",
    "|",
)

COUNTRIES = _words(
    "Arvonia|Belmarck|Cordania|Dresk|East Veyland|Fjorin|Gallastria|Hespera|Isle of Morn|Jurania|Kalvia|West Lorran",
    "|",
)
LANGUAGES = _words("Arvish Belmar Cordan Dreskan Veylish Fjoric Gallan Hesper Mornish Kalvic")
OFFICIAL_LANGUAGES = 6
"""So many of the languages are official somewhere, each in two of the countries."""
CONTINENTS = ("Aurelia", "Borealis", "South Meridia")

PROFESSIONS = _words(
    "architect|chemist|novelist|painter|lawyer|surgeon|film director|pilot|botanist|judge|civil engineer|poet|dentist|"
    "photographer|historian|chef",
    "|",
)
INSTRUMENTS = _words("piano violin cello trumpet harp flute drums guitar organ clarinet")
SPORTS = _words("tennis|rugby|ice hockey|chess|rowing|fencing|water polo|judo|golf|cricket", "|")
FIELDS = _words(
    "geology|botany|number theory|optics|linguistics|genetics|marine biology|logic|astronomy|economics", "|"
)
INDUSTRIES = _words("shipping|insurance|steel|tourism|toys|medical devices|textiles|solar power|mining|printing", "|")
GENRES = _words("satire|science fiction|tragedy|romance|horror|folk tale|thriller|western|comedy|mystery", "|")

FILLER_OPENERS = (
    "Therefore",
    "Because of this,",
    "In the morning",
    "I think",
    "You know that",
    "After that,",
    "Later,",
)
FILLER_SUBJECTS = (
    "the market",
    "the old road",
    "the letter",
    "the report",
    "a small crowd",
    "the library",
    "the train",
)
FILLER_VERBS = ("was late", "was closed again", "was very quiet", "came back", "was seen by many", "changed a little")
