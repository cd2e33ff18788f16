"""One experiment a paper, `run(seed, data) -> dict`, and the runner for all of them."""
