"""Downstream tasks: GLUE tasks and MMLU by answer log-likelihood, with lm-evaluation-harness's definitions and metrics.

The harness (``lm_eval``, requirements-extra.txt) is optional. Only `definitions` and `harness` import it, and they are
imported only where it is known to be there.
"""
