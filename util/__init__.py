"""Shared building blocks; they know no method, no data set and no experiment."""
