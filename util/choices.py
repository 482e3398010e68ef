"""Names that flags may give and that code which loads torch reads: apart from it, so that flags are parsed at once."""

WORLD = "world"
"""Name of the embedded model, which lies in the repository."""

DTYPES = ("float32", "bfloat16", "float16", "auto")
"""Of the weights; ``auto`` keeps the checkpoint's own."""

CHAT_TEMPLATES = ("none", "user", "assistant")
"""Whose turn a prompt is in a chat model's own form (`util.chat`)."""
