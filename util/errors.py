"""The one exception that means: the user can mend this; and JSON of somebody else's, whose faults are one error."""

import json
from typing import Any


class UserError(ValueError):
    """Bad input, told in one line: what was given, where, and what to do about it.

    Command lines print the message on stderr and exit with 2. Every other exception is a bug and keeps its traceback.
    """


class NotJson(Exception):
    """A text that is no JSON, is nested too deep or holds a number too long to be read. Its cause is json's own."""


def parsed(text: str) -> Any:
    """The value of a JSON text. Raises NotJson, which is no UserError: who reads the text knows what it should be."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
