"""The hills of NAS-Bench-201 that the chapter shows, measured where its table is."""

import json

from lib.assets import paper_path
from lib.claims.weaknas import SETS
from lib.data.spaces import NB201


def test_each_set_has_optima_and_a_share():
    stored = json.loads(paper_path("weaknas", "hills.json").read_text("utf-8"))
    assert set(stored) == {"what", "rows", *SETS}
    assert stored["rows"] == len(NB201)
    for name in SETS:
        hills = stored[name]
        assert set(hills) == {"local_optima", "basin_share"}
        assert isinstance(hills["local_optima"], int)
        assert 1 <= hills["local_optima"] <= stored["rows"] // 2
        assert 0 < hills["basin_share"] <= 1
        climbs = hills["basin_share"] * stored["rows"]
        assert climbs >= 1 + 6 * 4  # the best row, and every neighbour, ends there
        assert climbs + hills["local_optima"] - 1 <= stored["rows"]
