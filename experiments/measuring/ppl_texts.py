"""Names that flags may give, apart from the code that measures, which loads torch."""

PPL_TEXTS = ("auto", "wikitext2", "paper", "heldout", "none")
"""What the perplexity may be measured on."""

KNOWN = ("any", "prompt", "strict")
"""How sure a model must be of the facts that are taken (see measuring.knowledge)."""
