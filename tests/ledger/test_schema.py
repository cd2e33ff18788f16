"""A broken `paper.yml` gets one sentence that names file, key and what is allowed."""

import copy
import subprocess
import sys

import pytest
import yaml

from lib.assets import load_claims, load_paper, paper_path, papers
from lib.assets.schema import read_paper

GOOD = {
    "slug": "made_up",
    "number": 1,
    "title": "A Made-up Paper",
    "short": "Made-up",
    "state": "complete",
    "sentence": "It does nothing.",
    "authors": ["A. Nobody"],
    "venue": "NOWHERE 2022",
    "year": 2022,
    "arxiv": "2101.00001",
    "url": "https://arxiv.org/abs/2101.00001",
    "official_code": {"url": "https://example.org", "licence": "MIT"},
    "bibkey": "nobody2022made",
    "ledger": [
        {
            "id": "params",
            "what": "Parameters",
            "source": "Table 1",
            "published": 11.4,
            "unit": "M",
            "tolerance": {"decimals": 1},
            "compute": "lib.papers.made_up.ledger:parameters",
            "args": {"variant": "294M"},
            "state": "reproduced",
        },
        {
            "id": "top-1",
            "what": "Accuracy",
            "source": "Table 2",
            "published": 77.9,
            "state": "not computable",
            "why": "Needs 450 epochs on ImageNet.",
        },
    ],
    "differences": [
        {
            "id": "gate",
            "point": "Gate",
            "paper": "none",
            "code": "one",
            "book": "one",
            "cell": "mf-gate",
        }
    ],
    "claims": [
        {
            "id": "beats-wide",
            "statement": "It beats the wide one.",
            "metric": "accuracy",
            "better": "higher",
            "method": "bridge",
            "baseline": "wide",
            "primary": True,
            "data": ["world"],
            "seeds": 8,
        }
    ],
    "names": {
        "arms": {"bridge": "the bridge"},
        "metrics": {"accuracy": "share of right cells"},
        "data": {"world": "cue scenes"},
    },
    "budgets": {
        "cpu_seconds": 150,
        "memory_gib": 1.5,
        "notebook_mb": 1.5,
        "weights_mb": 4,
        "minutes_to_read": 90,
    },
}


def read(tmp_path, content):
    file = tmp_path / "paper.yml"
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    file.write_text(text, encoding="utf-8")
    return read_paper(file, "made_up/paper.yml")


def changed(path, value):
    """Return a copy of GOOD in which `path` holds `value`, or nothing for None."""
    content = copy.deepcopy(GOOD)
    *parents, last = path
    inner = content
    for part in parents:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return content


def test_words_are_optional(tmp_path):
    names = read(tmp_path, changed(["names"], None)).names
    assert names.arm("one_mlp") == "one_mlp"
    assert names.metric("test_50") == "test 50"
    assert names.label("world") == "world"


def test_words_for_keys(tmp_path):
    names = read(tmp_path, GOOD).names
    assert (names.arm("bridge"), names.arm("wide")) == ("the bridge", "wide")
    assert names.metric("accuracy") == "share of right cells"
    assert names.label("world-1a2b") == "cue scenes (other data, 1a2b)"
    assert names.label("other-1a2b") == "other-1a2b"


def test_good_file_is_read(tmp_path):
    paper = read(tmp_path, GOOD)
    assert paper.ledger[0].tolerance.decimals == 1
    assert paper.claims[0].margin == 0


@pytest.mark.parametrize("slug", papers())
def test_every_paper_has_a_file_that_fits(slug):
    paper = load_paper(slug)
    assert paper.slug == slug
    assert paper.title
    assert paper.authors


BROKEN = {
    "unknown key": (
        ["ledger", 0, "tolerence"],
        {"decimals": 1},
        "ledger[params].tolerence: unknown key (did you mean 'tolerance'?); allowed "
        "are id, what, source, published, unit, tolerance, compute, args, state, why",
    ),
    "unknown key at the top": (
        ["colour"],
        "red",
        "colour: unknown key; allowed are slug",
    ),
    "unknown key in a claim": (
        ["claims", 0, "seed"],
        8,
        "claims[beats-wide].seed: unknown key (did you mean 'seeds'?); allowed are id",
    ),
    "missing key": (
        ["title"],
        None,
        "title: missing key; needed here are slug, number",
    ),
    "missing key in a row": (
        ["ledger", 1, "source"],
        None,
        "ledger[top-1].source: missing key; needed here are id, what, source, "
        "published, state",
    ),
    "wrong state": (
        ["state"],
        "done",
        "state: input should be 'planned', 'built' or 'complete', not 'done'",
    ),
    "wrong state of a row": (
        ["ledger", 0, "state"],
        "proved",
        "ledger[params].state: input should be 'reproduced', 'explained', 'not "
        "computable' or 'own', not 'proved'",
    ),
    "wrong type": (
        ["year"],
        "2022",
        "year: input should be a valid integer, not '2022'",
    ),
    "number for a string": (
        ["arxiv"],
        2108.05895,
        '(in quotes it is one: "2108.05895")',
    ),
    "truth value for a number": (
        ["number"],
        True,
        "number: input should be a valid int",
    ),
    "number in quotes": (
        ["ledger", 0, "tolerance"],
        {"relative": "1e-2"},
        "ledger[params].tolerance.relative: input should be a valid number, not '1e-2' "
        "(in YAML, a number has no quotes and 1e-4 is written 1.0e-4)",
    ),
    "two tolerances": (
        ["ledger", 0, "tolerance"],
        {"decimals": 1, "relative": 0.1},
        "ledger[params].tolerance: needs exactly one of exact, decimals, relative",
    ),
    "no tolerance": (
        ["ledger", 0, "tolerance"],
        None,
        "ledger[params]: is reproduced, so it needs compute and tolerance",
    ),
    "explained without a why": (
        ["ledger", 0, "state"],
        "explained",
        "ledger[params]: is explained, so it needs why",
    ),
    "not computable but computed": (
        ["ledger", 0, "state"],
        "not computable",
        "ledger[params]: is not computable, so it takes no compute, tolerance or args",
    ),
    "words with a numeric tolerance": (
        ["ledger", 0, "published"],
        "many",
        "ledger[params]: publishes no number, so its tolerance is `exact: true`",
    ),
    "published as a mapping": (
        ["ledger", 0, "published"],
        {"a": 1},
        "ledger[params].published: should be a number, a string or a list of them",
    ),
    "published not finite": (
        ["ledger", 0, "published"],
        float("nan"),
        "should be finite",
    ),
    "compute outside lib": (
        ["ledger", 0, "compute"],
        "os:system",
        "ledger[params].compute: string should match pattern",
    ),
    "an id twice": (
        ["ledger", 1, "id"],
        "params",
        "ledger: the id 'params' is used more than once",
    ),
    "an arm against itself": (
        ["claims", 0, "baseline"],
        "bridge",
        "claims[beats-wide]: compares an arm with itself",
    ),
    "an own value without a way to compute it": (
        ["ledger", 1, "state"],
        "own",
        "ledger[top-1]: is own, so it needs compute and tolerance",
    ),
    "primary but listed later": (
        ["claims", 0, "later"],
        True,
        "claims[beats-wide]: is primary, so it cannot have been listed later",
    ),
    "words for no arm": (
        ["names", "arms"],
        {"wide": "the widened one", "bridg": "the bridge"},
        "names.arms: no claim has 'bridg' (did you mean 'bridge'?); allowed are "
        "bridge, wide",
    ),
    "words for no metric": (
        ["names", "metrics"],
        {"world": "cue scenes"},
        "names.metrics: no claim has 'world'; allowed are accuracy",
    ),
    "words for no data": (
        ["names", "data"],
        {"wrold": "cue scenes"},
        "names.data: no claim has 'wrold' (did you mean 'world'?); allowed are world",
    ),
    "words that are no text": (
        ["names", "data", "world"],
        7,
        "names.data.world: input should be a valid string, not 7",
    ),
    "words of an unknown kind": (
        ["names", "methods"],
        {"bridge": "the bridge"},
        "names.methods: unknown key; allowed are arms, metrics, data",
    ),
    "built without a ledger": (
        ["ledger"],
        None,
        "state 'complete' needs a ledger and budgets",
    ),
    "complete without a primary claim": (
        ["claims", 0, "primary"],
        None,
        "state 'complete' needs a primary claim",
    ),
}


@pytest.mark.parametrize(("path", "value", "said"), BROKEN.values(), ids=BROKEN)
def test_broken_file(tmp_path, path, value, said):
    with pytest.raises(ValueError, match=r"^made_up/paper\.yml: ") as caught:
        read(tmp_path, changed(path, value))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: a: b\n", "line 1, column 9: mapping values are not allowed here."),
        ("a: [1, 2\nb: 3\n", "line 2, column"),
        ("slug: x\nslug: y\n", "line 2, column 1: the key 'slug' is given twice."),
        ("- 1\n", "should hold keys and values, not [1]."),
        ("", "should hold keys and values, not None."),
        ("a: \x07\n", "not YAML in UTF-8"),
        ("a: !!python/name:os.system\n", "line 1, column 4: could not determine"),
    ],
)
def test_broken_yaml(tmp_path, text, said):
    with pytest.raises(ValueError, match=r"^made_up/paper\.yml: ") as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_problems_are_counted(tmp_path):
    content = changed(["year"], "2022") | {"colour": "red"}
    with pytest.raises(ValueError, match=r"\(1 more after that\)\.$"):
        read(tmp_path, content)


def test_a_misspelt_key_is_named_as_it_is_spelt(tmp_path):
    content = {"venu" if key == "venue" else key: value for key, value in GOOD.items()}
    with pytest.raises(
        ValueError, match=r"venu: unknown key \(did you mean 'venue'\?\)"
    ):
        read(tmp_path, content)


def test_unknown_slug_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"slug 'mobile-former' .* 'mobile_former'\?"):
        load_paper("mobile-former")
    with pytest.raises(ValueError, match="allowed are mobile_former, cswin"):
        paper_path("zzz")


def test_claims_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lib.assets.paper_path", lambda slug, *parts: tmp_path / parts[0]
    )
    assert load_claims("cswin") is None
    (tmp_path / "claims.json").write_text("{,}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"cswin/claims\.json: line 1: .*make claims"):
        load_claims("cswin")


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lib.assets.paper_path", lambda slug, *parts: tmp_path / parts[0]
    )
    load_paper.cache_clear()
    with pytest.raises(
        ValueError, match=r"lib/assets/cswin/paper\.yml: this file is mis"
    ):
        load_paper("cswin")


def test_file_in_the_wrong_folder(tmp_path, monkeypatch):
    (tmp_path / "paper.yml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    monkeypatch.setattr(
        "lib.assets.paper_path", lambda slug, *parts: tmp_path / parts[0]
    )
    load_paper.cache_clear()
    with pytest.raises(
        ValueError, match="slug and number should be 'cswin' and 2, not"
    ):
        load_paper("cswin")


def test_assets_stay_light():
    code = "import sys, lib.assets; print({'yaml', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
