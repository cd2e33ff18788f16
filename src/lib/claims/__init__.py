"""One experiment a paper: `lib.claims.<slug>.run(seed, data)` returns its numbers.

`run` gives `{"arms": {arm: {metric: number}}}` for one seed. A module may also offer
`describe(data)`, which gives `{"label", "rows", "hash"}` of the data that `run` would
use. `python -m lib.claims <slug>` measures; `lib.claims.runner` says how.
"""
