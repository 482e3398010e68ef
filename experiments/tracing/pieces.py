"""Names that flags may give, apart from the code that traces, which loads torch."""

STATE, MLP, ATTENTION = PIECES = ("state", "mlp", "attention")
"""What is put back: a layer's whole output, or what the MLPs or the attention of a window of layers add."""
