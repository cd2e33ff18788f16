"""What a chapter's `paper.yml` may say, and one clear sentence where it says more.

The file holds what is known before anything is measured: the citation, the published
numbers with their tolerances (the ledger), the points where paper, official code and
book differ, the claims to be tested, and the budgets. Unknown keys are errors.
"""

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

Text = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$")]
Positive = Annotated[float, Field(gt=0)]


def _plain(value: Any) -> Any:
    """Accept a finite number, a string, a truth value, or lists of these."""
    if isinstance(value, list) and value:
        return [_plain(item) for item in value]
    if not isinstance(value, int | float | str):
        raise ValueError("should be a number, a string or a list of them")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should be finite")
    return value


def _numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_numeric, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Strict(BaseModel):
    """No unknown keys, and no silent change of type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OfficialCode(_Strict):
    """Where the authors' code is, which state of it was read, and its licence."""

    url: Text
    commit: Text | None = None
    licence: Text


class Tolerance(_Strict):
    """How near a computed value must come to the published one: exactly one rule."""

    exact: Literal[True] | None = None
    decimals: Annotated[int, Field(ge=0)] | None = None
    relative: Positive | None = None
    absolute: Positive | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Tolerance":
        if len(self.model_fields_set) != 1:
            raise ValueError(f"needs exactly one of {_keys(type(self))}")
        return self


class LedgerRow(_Strict):
    """One published value, and how the book computes it.

    State "own" is for a value of the book's own, which nobody published: `published`
    then holds what the book counted once, and the computed value has to equal it.
    """

    id: Label
    what: Text
    source: Text
    published: Annotated[Any, AfterValidator(_plain)]
    unit: str = ""
    tolerance: Tolerance | None = None
    compute: (
        Annotated[str, Field(pattern=r"^lib(\.[A-Za-z_]\w*)+:[A-Za-z_]\w*$")] | None
    ) = None
    args: dict[str, Any] = {}
    state: Literal["reproduced", "explained", "not computable", "own"]
    why: str = ""

    @model_validator(mode="after")
    def _state_fits(self) -> "LedgerRow":
        computed = self.compute is not None and self.tolerance is not None
        if self.state == "not computable":
            if self.compute or self.tolerance or self.args:
                raise ValueError(
                    "is not computable, so it takes no compute, tolerance or args"
                )
        elif not computed:
            raise ValueError(f"is {self.state}, so it needs compute and tolerance")
        elif not (
            (self.tolerance and self.tolerance.exact) or _numeric(self.published)
        ):
            raise ValueError("publishes no number, so its tolerance is `exact: true`")
        if self.state in ("explained", "not computable") and not self.why.strip():
            raise ValueError(f"is {self.state}, so it needs why")
        return self


class Difference(_Strict):
    """A point where paper, official code and book differ, and its cell."""

    id: Label
    point: Text
    paper: Text
    code: Text
    book: Text
    cell: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Claim(_Strict):
    """A claim of the paper, written down before it is measured, unless it says `later`.

    `later: true` is for a comparison of stored numbers that was thought of after they
    were seen; tables say so, and such a claim is not primary.
    """

    id: Label
    statement: Text
    metric: Text
    better: Literal["higher", "lower"]
    method: Text
    baseline: Text
    margin: Annotated[float, Field(ge=0)] = 0.0
    primary: bool = False
    later: bool = False
    data: Annotated[list[Label], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=3)]

    @model_validator(mode="after")
    def _two_arms(self) -> "Claim":
        if self.method == self.baseline:
            raise ValueError("compares an arm with itself: method equals baseline")
        if self.primary and self.later:
            raise ValueError("is primary, so it cannot have been listed later")
        return self


class Names(_Strict):
    """Words for what the claims and `claims.json` call by a key.

    They stand in sentences such as "On DATA, the METRIC is 0.93 for ARM": data and arms
    without a preposition, metrics without an article.
    """

    arms: dict[str, Text] = {}
    metrics: dict[str, Text] = {}
    data: dict[str, Text] = {}

    def arm(self, key: str) -> str:
        """Return the words for an arm; the key itself if it has none."""
        return self.arms.get(key, key)

    def metric(self, key: str) -> str:
        """Return the words for a metric; its key without underscores if it has none."""
        return self.metrics.get(key, key.replace("_", " "))

    def label(self, key: str) -> str:
        """Return the words for data; data kept apart say which they belong to."""
        base, _, apart = key.rpartition("-")
        if key not in self.data and base in self.data:
            return f"{self.data[base]} (other data, {apart})"
        return self.data.get(key, key)


class Budgets(_Strict):
    """Limits of one notebook of the chapter; the weights are the whole chapter's."""

    cpu_seconds: Positive
    memory_gib: Positive
    notebook_mb: Positive
    weights_mb: Positive
    minutes_to_read: Positive


class Paper(_Strict):
    """Everything that `paper.yml` says about one paper."""

    slug: Text
    number: Annotated[int, Field(ge=1)]
    title: Text
    short: Text
    state: Literal["planned", "built", "complete"]
    sentence: Text
    authors: Annotated[list[Text], Field(min_length=1)]
    venue: Text
    year: int
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")]
    url: Annotated[str, Field(pattern=r"^https://")]
    official_code: OfficialCode | None = None
    bibkey: Text
    ledger: list[LedgerRow] = []
    differences: list[Difference] = []
    claims: list[Claim] = []
    names: Names = Names()
    budgets: Budgets | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Paper":
        for name in ("ledger", "differences", "claims"):
            ids = [item.id for item in getattr(self, name)]
            twice = sorted({i for i in ids if ids.count(i) > 1})
            if twice:
                raise ValueError(f"{name}: the id '{twice[0]}' is used more than once")
        if self.state != "planned" and not (self.ledger and self.budgets):
            raise ValueError(f"state '{self.state}' needs a ledger and budgets")
        if self.state == "complete" and not any(c.primary for c in self.claims):
            raise ValueError("state 'complete' needs a primary claim")
        self._names_are_used()
        return self

    def _names_are_used(self) -> None:
        """Refuse words for a key that no claim has: it is a typo, or left over."""
        used = {
            "arms": {arm for c in self.claims for arm in (c.method, c.baseline)},
            "metrics": {c.metric for c in self.claims},
            "data": {label for c in self.claims for label in c.data},
        }
        for kind, keys in used.items():
            for key in sorted(getattr(self.names, kind).keys() - keys):
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f" (did you mean '{near[0]}'?)" if near else ""
                raise ValueError(
                    f"names.{kind}: no claim has '{key}'{hint}; "
                    f"allowed are {', '.join(sorted(keys)) or 'none'}"
                )


class _Loader(yaml.SafeLoader):
    """The safe loader, except that a key given twice is an error."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' is given twice",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def read_paper(file: Path, name: str) -> Paper:
    """Read and check one `paper.yml`.

    Args:
        file: the file.
        name: what error messages call it, e.g. `lib/assets/cswin/paper.yml`.

    Raises:
        ValueError: in one sentence with file, key and what is allowed.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise ValueError(f"{name}:{where} {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = getattr(error, "reason", "not a text file")
        raise ValueError(f"{name}: not YAML in UTF-8 ({reason}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: should hold keys and values, not {content!r}.")
    try:
        return Paper.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{name}: {_sentence(error, content)}") from None


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model whose keys stand at `location`."""

    def inside(annotation: Any) -> Any:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        found = (inside(argument) for argument in get_args(annotation))
        return next((model for model in found if model), None)

    model: type[BaseModel] = Paper
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = inside(model.model_fields[part].annotation) or model
    return model


def _path(location: tuple[int | str, ...], content: Any) -> str:
    """Write `ledger[params-294m].tolerance`: a row by its id where it has one."""
    text = ""
    for part in location:
        try:
            content = content[part]
        except (LookupError, TypeError):
            content = None
        if isinstance(part, int):
            row = content.get("id") if isinstance(content, dict) else None
            text += f"[{row if isinstance(row, str) else part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def _sentence(error: ValidationError, content: Any) -> str:
    """Say the first problem in one sentence, and how many more there are."""
    # A key with a typo is both unknown and missing: the unknown one says more.
    first, *rest = sorted(
        error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"
    )
    location, kind, value = first["loc"], first["type"], first["input"]
    path = _path(location, content)
    if kind == "extra_forbidden":
        model = _model_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        said = f"{path}: unknown key{hint}; allowed are {_keys(model)}"
    elif kind == "missing":
        said = f"{path}: missing key; needed here are " + ", ".join(
            key
            for key, field in _model_at(location[:-1]).model_fields.items()
            if field.is_required()
        )
    elif kind == "value_error":
        said = (
            f"{path}: {first['ctx']['error']}" if path else str(first["ctx"]["error"])
        )
    else:
        said = f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}, not {value!r}"
        if isinstance(value, str) and kind.startswith(("float", "int")):
            said += " (in YAML, a number has no quotes and 1e-4 is written 1.0e-4)"
        if kind == "string_type" and isinstance(value, int | float):
            said += f' (in quotes it is one: "{value}")'
    more = f" ({len(rest)} more after that)" if rest else ""
    return f"{said}{more}."
