"""From what was heard to one word a person understands. Pure."""

from collections.abc import Iterable, Sequence

from experiments.requests.evidence.asked_again import Heard

GONE, WEAKENED, STILL_THERE, NOT_KNOWN = STATUSES = ("gone", "weakened", "still there", "not known")

LEFT = 0.1
"""Share of its probability above which an answer is not gone."""

RULES = {
    GONE: (
        "the model no longer says the answer after the prompt, nor after any other wording that is asked here; the "
        f"answer has at most {LEFT:.0%} of the probability it had; and no attack that gets more than chance explains "
        "got it back in words"
    ),
    WEAKENED: "the model no longer says the answer after the prompt, but one of the other conditions does not hold",
    STILL_THERE: "the model still says the answer after the prompt",
    NOT_KNOWN: "the model did not say the answer before anything was done; it was left out unless --all was given",
}


def status(before: Sequence[Heard], after: Sequence[Heard], recovered_by: Sequence[str] = ()) -> str:
    """The status of a fact that was known, from its wordings (the prompt first) before and after.

    recovered_by: attacks in words that got the answer back and get more than chance explains.
    """
    prompt_before, prompt_after = before[0], after[0]
    if prompt_after.standing.said:
        return STILL_THERE
    told = any(heard.told for heard in after)
    left = not prompt_after.standing.probability <= LEFT * prompt_before.standing.probability  # also for no number
    return WEAKENED if told or left or recovered_by else GONE


def worst(statuses: Iterable[str]) -> str:
    """The status of a request from those of its facts: what is left counts; unknown facts only where all are."""
    order = (STILL_THERE, WEAKENED, GONE, NOT_KNOWN)
    return min(statuses, key=order.index, default=NOT_KNOWN)
