"""What all corpora have in common: how a document is told from a row, and what is said when there are too few."""

import logging

from util.errors import UserError

log = logging.getLogger(__name__)


def text_of(value, where: str) -> str:
    """The document in a row; UserError where it has none."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise UserError(f"corpus {where} has no string under 'text'; every record needs one")
    return value["text"]


def warn_if_fewer(total: int, n_samples: int, name: str) -> None:
    """Say that a corpus has fewer documents than were asked for."""
    if total < n_samples:
        log.warning("corpus %s has %d documents, %d were asked for; all are taken", name, total, n_samples)
