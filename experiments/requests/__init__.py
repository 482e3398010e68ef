"""Deletion requests: what they ask for, patches, the ledger."""
