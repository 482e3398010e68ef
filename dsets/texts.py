"""What texts have in common, whatever file they came from: what is one, and what is said when there are too few."""

import logging

from util.errors import UserError

HALF_CHARACTER = "half a character (\\ud800 to \\udfff by itself), which no tokenizer takes; mend it"

log = logging.getLogger(__name__)


def text_of(value, where: str) -> str:
    """The document in a row; UserError where it has none."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise UserError(f"corpus {where} has no string under 'text'; every record needs one")
    if not is_text(value["text"]):
        raise UserError(f"corpus {where}: its 'text' holds {HALF_CHARACTER}")
    return value["text"]


def is_text(text: str) -> bool:
    """Whether all of it are characters: JSON can spell one half of a surrogate pair alone, which is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def warn_if_fewer(total: int, n_samples: int, name: str) -> None:
    """Say that a corpus has fewer documents than were asked for."""
    if total < n_samples:
        log.warning("corpus %s has %d documents, %d were asked for; all are taken", name, total, n_samples)
