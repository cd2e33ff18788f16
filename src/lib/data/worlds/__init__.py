"""Deterministic scene generators: `name(n, seed, **options) -> datasets.Dataset`."""
