"""Names that flags may give, apart from the code that measures, which loads torch."""

WORK = ("targets", "growth", "without_search", "moments", "solve")
"""What is measured: `comparisons.bench_<name>`."""
