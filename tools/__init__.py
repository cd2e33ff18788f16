"""The maintainers' workshop; readers need none of it."""
