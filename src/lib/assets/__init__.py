"""What a notebook reads at run time: `paper.yml`, `claims.json`, weights, tables.

One folder a paper, named by its slug, shipped inside the package so that a hosted
notebook has it too.
"""

import difflib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pydantic, yaml and the tables are loaded when they are first used
    from lib.assets.ledger import Evaluated, evaluate
    from lib.assets.schema import Paper
    from lib.assets.tables import (
        Table,
        claims_table,
        differences_table,
        ledger_table,
        verdict_sentence,
    )

__all__ = [
    "Evaluated",
    "Paper",
    "Table",
    "claims_table",
    "differences_table",
    "evaluate",
    "ledger_table",
    "load_claims",
    "load_paper",
    "paper_path",
    "papers",
    "verdict_sentence",
]

_LATER = {
    "Evaluated": "ledger",
    "Paper": "schema",
    "Table": "tables",
    "claims_table": "tables",
    "differences_table": "tables",
    "evaluate": "ledger",
    "ledger_table": "tables",
    "verdict_sentence": "tables",
}

_SLUGS = (
    "mobile_former",
    "cswin",
    "weaknas",
    "few_label",
    "pnal",
    "stylegan_inversion",
    "multi_attention",
    "deep_watermarking",
    "structure_watermarking",
    "poison_ink",
)


def __getattr__(name: str) -> Any:
    """Import the tables and the schema on first use."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"lib.assets.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lib.assets' has no attribute {name!r}")


def papers() -> list[str]:
    """Return the slugs of the ten papers in the order of the chapters."""
    return list(_SLUGS)


def paper_path(slug: str, *parts: str) -> Path:
    """Return the path of a paper's folder, or of a file in it.

    Args:
        slug: one of `papers()`.
        parts: names below the folder; the file need not exist.

    Raises:
        ValueError: for an unknown slug.
    """
    if slug not in _SLUGS:
        near = difflib.get_close_matches(str(slug), _SLUGS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ValueError(
            f"slug '{slug}' is no paper of this book; {hint}"
            f"allowed are {', '.join(_SLUGS)}"
        )
    return Path(__file__).parent.joinpath(slug, *parts)


@lru_cache
def load_paper(slug: str) -> "Paper":
    """Read a paper's `paper.yml`.

    Args:
        slug: one of `papers()`.

    Returns:
        The checked content, a frozen model of `lib.assets.schema`.

    Raises:
        ValueError: for an unknown slug, a missing file, or a file that breaks the
            schema; one sentence with file, key and what is allowed.
    """
    from lib.assets.schema import read_paper

    file = paper_path(slug, "paper.yml")
    name = f"lib/assets/{slug}/paper.yml"
    if not file.is_file():
        raise ValueError(f"{name}: this file is missing.")
    paper = read_paper(file, name)
    if (paper.slug, paper.number) != (slug, _SLUGS.index(slug) + 1):
        raise ValueError(
            f"{name}: slug and number should be '{slug}' and "
            f"{_SLUGS.index(slug) + 1}, not '{paper.slug}' and {paper.number}."
        )
    return paper


def load_claims(slug: str) -> dict[str, Any] | None:
    """Read what was measured for a paper, or None where nothing was.

    Args:
        slug: one of `papers()`.

    Returns:
        The content of `claims.json` as `lib.claims.runner` writes it.

    Raises:
        ValueError: for an unknown slug or a file that is no JSON.
    """
    file = paper_path(slug, "claims.json")
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"lib/assets/{slug}/claims.json: line {error.lineno}: {error.msg}; "
            f"`make claims NAME={slug}` writes the file from its finished seeds."
        ) from None
