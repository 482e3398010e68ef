"""Names that flags may give, apart from the code that measures, which loads torch."""

WORK = ("targets", "growth", "moments", "solve")
"""What is done twice: `comparisons.bench_<name>`."""
