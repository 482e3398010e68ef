"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """Bad input, told in one line: what was given, where, and what to do about it.

    Command lines print the message on stderr and exit with 2. Every other exception is a bug and keeps its traceback.
    """
