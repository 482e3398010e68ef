"""Causal tracing: known facts, the runs that trace them, their mean effects, and a picture of those."""
