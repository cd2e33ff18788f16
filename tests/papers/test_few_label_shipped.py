"""The embeddings that the slider shows, and the command that makes them."""

import dataclasses
import json

import pytest

from lib.assets import paper_path
from lib.papers.few_label import shipped


def test_what_is_shipped_is_whole() -> None:
    shares = shipped.load_shares()
    assert [round(128 * s.share) for s in shares] == list(shipped.ROWS)
    for share in shares:
        assert len(share.points) == len(share.labels) == shipped.SHOWN
        assert share.labels == shares[0].labels
        assert set(share.labels) == set(range(10))
        assert 0 < share.nmi < 1
        assert 0.1 < share.probe < 1
    assert len({str(share.points) for share in shares}) == len(shares)
    written = json.loads(paper_path("few_label", "shares.json").read_text("utf-8"))
    assert written["command"] == "python -m lib.papers.few_label.shipped"


def test_the_shown_pictures_are_the_first_of_the_pool() -> None:
    from lib.data import column
    from lib.data.worlds import two_domain_shapes

    pool = two_domain_shapes(shipped.SHOWN, 5, domain="ink")
    assert shipped.load_shares()[0].labels == column(pool, "label").tolist()


def test_the_command_writes_what_is_read(tmp_path, monkeypatch) -> None:
    real = shipped.make_share
    monkeypatch.setattr(shipped, "ROWS", (0, 128))
    monkeypatch.setattr(shipped, "SHOWN", 60)
    monkeypatch.setattr(shipped, "make_share", lambda rows: real(rows, 22, pool=130))
    monkeypatch.setattr(shipped, "paper_path", lambda *parts: tmp_path / parts[-1])
    shipped.main()
    first, last = shipped.load_shares(tmp_path / "shares.json")
    assert (first.share, last.share) == (0, 1)
    assert len(first.points) == 60
    assert first.points != last.points
    again = dataclasses.asdict(real(0, 22, pool=130))
    assert again == dataclasses.asdict(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rows": 129}, "rows=129"), ({"rows": 0, "pool": 100}, "pool=100")],
)
def test_wrong_numbers_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shipped.make_share(**change)
