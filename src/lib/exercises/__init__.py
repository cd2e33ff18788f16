"""Checks and hints that a reader's answers meet, one module a paper."""
