"""Runs: their settings, identity, session, one run, its record, tables and variants."""
