"""Command lines and what they are made of: scoring, metrics, runs, tables."""
