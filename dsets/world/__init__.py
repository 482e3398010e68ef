"""The embedded world: invented facts in the schemas of the real data sets, and text about them.

The model in `dsets/world/model` has learnt it (experiments/pretrain_world.py). Everything is made on demand, from the
world's seed, by the standard library alone.
"""

from dsets.world.datasets import make_records
from dsets.world.documents import Document, documents, heldout
from dsets.world.facts import SEED, Chain, Fact, World, make_world

__all__ = [
    "SEED",
    "Chain",
    "Document",
    "Fact",
    "World",
    "digest",
    "documents",
    "heldout_documents",
    "make_world",
    "records",
    "statistics_documents",
    "training_documents",
]


def records(ds_name: str) -> list[dict]:
    """The world's "mcf", "zsre" or "mquake": what the upstream JSON file of that name holds, in the same schema."""
    return make_records(ds_name, make_world(), SEED)


def training_documents(epoch: int = 0) -> list[Document]:
    """What an epoch trains on: each trained wording of each fact once, grouped anew and with new unknown subjects."""
    return documents(make_world(), epoch)


def statistics_documents() -> list[str]:
    """The texts of one epoch of training documents."""
    return [document.text for document in training_documents()]


def heldout_documents() -> list[str]:
    """Texts for perplexity: wordings never trained for their facts, about subjects that no data set asks to forget."""
    return [document.text for document in heldout(make_world(), SEED)]


def digest() -> str:
    """sha256 of everything that is true in the world and of what is trained of it, in hexadecimal."""
    return make_world().digest()
