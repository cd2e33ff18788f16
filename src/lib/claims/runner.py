"""Measures a paper's claims, seed by seed, so that nothing finished is ever lost.

Each finished seed is a file of its own, `seeds/<label>/<seed>.json`, written at once
and in one step. `claims.json` is made from these files and from the claims of
`paper.yml` alone, so it can be made again at any time. A seed counts as finished as
long as the code behind it is the same (see `lib.claims.hashing`).
"""

import importlib
import json
import math
import os
import platform
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

from lib.assets import load_paper, paper_path, papers
from lib.assets.schema import Claim
from lib.assets.tables import claim_sentence
from lib.claims.hashing import code_hash
from lib.metrics.intervals import paired_difference, t_interval, verdict

SCHEMA = 1
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "datasets")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
_KEYS = {
    "schema",
    "seed",
    "arms",
    "data",
    "code_hash",
    "versions",
    "minutes",
    "peak_memory_mib",
}
Json = dict[str, Any]


class SeedError(RuntimeError):
    """A seed that could not be measured or stored; the finished ones are kept."""


@dataclass(frozen=True)
class Experiment:
    """What is measured, where its numbers are stored, and which claims they serve."""

    name: str
    module: str
    folder: Path
    claims: tuple[Claim, ...]

    @property
    def labels(self) -> list[str]:
        """The data that the claims name."""
        return sorted({label for claim in self.claims for label in claim.data})

    def seed_file(self, label: str, seed: int) -> Path:
        """Return where a finished seed is stored."""
        return self.folder / "seeds" / label / f"{seed}.json"


def experiment(name: str) -> Experiment:
    """Return the experiment of a paper.

    Args:
        name: the slug of a paper that has a module in `lib.claims`.

    Raises:
        ValueError: for an unknown name, or a paper without experiment or claims.
    """
    here = Path(__file__).parent
    folder = paper_path(name)
    ready = [slug for slug in papers() if (here / f"{slug}.py").is_file()]
    if name not in ready:
        raise ValueError(
            f"NAME '{name}' has no experiment yet; "
            f"allowed are {', '.join(ready) or 'none'}"
        )
    claims = load_paper(name).claims
    if not claims:
        raise ValueError(f"NAME '{name}': its paper.yml lists no claims to measure")
    return Experiment(name, f"lib.claims.{name}", folder, tuple(claims))


def parse_seeds(text: str) -> list[int]:
    """Read seeds written as `0-7`, `3` or `0-2,5`.

    Returns:
        The seeds, each once, in rising order.

    Raises:
        ValueError: for anything else.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        first, last = (int(g or match[1]) for g in match.groups()) if match else (1, 0)
        if last < first:
            raise ValueError(
                f"SEEDS '{text}' cannot be read at '{part.strip()}'; "
                "allowed are numbers and rising ranges, such as 0-7 or 0-2,5"
            )
        seeds |= set(range(first, last + 1))
    return sorted(seeds)


def describe(exp: Experiment, data: str) -> Json:
    """Return label, row count and content hash of the data, never their path.

    Data that differ from those recorded under their label get a label of their own,
    `<label>-<first digits of the hash>`, so that the two are never mixed.

    Args:
        exp: the experiment.
        data: a label of `paper.yml`, a Hub id, or a local folder.

    Raises:
        ValueError: for data that the experiment does not know.
    """
    known = ", ".join(exp.labels)
    named = "/" in data or os.sep in data or Path(data).exists()
    if data not in exp.labels and not named:
        raise ValueError(
            f"DATA '{data}' is unknown; allowed are {known}, a Hub id (owner/name) "
            "or a local folder"
        )
    ask: Callable[[str], Json] | None
    ask = getattr(importlib.import_module(exp.module), "describe", None)
    if ask is None and named:
        raise ValueError(f"DATA '{data}': this experiment takes only {known}")
    said = ask(data) if ask else {"label": data}
    found = {key: said.get(key) for key in ("label", "rows", "hash")}
    if found["label"] not in exp.labels:
        raise ValueError(
            f"DATA '{data}' is '{found['label']}', which no claim of paper.yml lists; "
            f"allowed are {known}"
        )
    recorded = next((s["data"] for s in _stored(exp, found["label"]).values()), found)
    if recorded == found:
        return found
    other = f"{found['label']}-{str(found['hash'])[:8]}"
    was, now = (f"{d['rows']} rows, hash {d['hash']}" for d in (recorded, found))
    folder = _short(exp.seed_file(found["label"], 0).parent)
    print(
        f"These are not the data recorded as '{found['label']}' ({was}; here {now}), "
        f"so their results are kept apart as '{other}'; deleting {folder} would let "
        "them take its place."
    )
    return found | {"label": other}


def measure(
    exp: Experiment, seeds: Sequence[int], data: str = "world", jobs: int = 2
) -> Json:
    """Measure the seeds that are not finished, and write `claims.json`.

    Args:
        exp: the experiment, from `experiment(name)`.
        seeds: which seeds; finished ones are not measured again.
        data: see `describe`.
        jobs: worker processes, one thread each.

    Returns:
        The content of `claims.json`.

    Raises:
        ValueError: for unknown data, or if finished seeds were measured by other code.
        SeedError: if a seed fails or cannot be stored; finished ones are kept.
    """
    about = describe(exp, data)
    label, digest = about["label"], code_hash(exp.module)
    stored = _stored(exp, label)
    stale = [seed for seed, found in stored.items() if found["code_hash"] != digest]
    if stale:
        raise ValueError(
            f"{_count(stale)} of '{label}' came from other code than today's; RENEW=1 "
            "measures one of them again and keeps them all if its numbers agree, and "
            f"deleting {_short(exp.seed_file(label, 0).parent)} starts afresh"
        )
    for part in exp.seed_file(label, 0).parent.glob(".*.part"):
        part.unlink(missing_ok=True)  # left by a run that was killed while writing
    todo = [seed for seed in seeds if seed not in stored]
    print(
        f"{exp.name} on {label}: {_count(todo)} to measure, "
        f"{len(set(seeds) - set(todo))} of those asked for finished before."
    )
    tasks = [(exp, seed, data, about, digest, True) for seed in todo]
    for _ in _in_workers(tasks, jobs):
        pass
    return collect(exp)


def renew(exp: Experiment, data: str = "world") -> bool:
    """Measure one finished seed again, and renew the hashes if its numbers agree.

    Numbers agree within 0.1 %, or within 1e-6 near zero.

    Args:
        exp: the experiment.
        data: see `describe`.

    Returns:
        Whether they agree; if not, the first number that differs is printed.

    Raises:
        ValueError: if no seed is finished on these data.
        SeedError: if the seed fails.
    """
    about = describe(exp, data)
    label, digest = about["label"], code_hash(exp.module)
    stored = _stored(exp, label)
    if not stored:
        raise ValueError(f"RENEW=1: no seed of {exp.name} is finished on '{label}'")
    stale = [seed for seed, found in stored.items() if found["code_hash"] != digest]
    if not stale:
        print(f"{exp.name} on {label}: the code is the recorded one; nothing to renew.")
        collect(exp)
        return True
    seed = stale[0]
    (again,) = _in_workers([(exp, seed, data, about, digest, False)], 1)
    differs = _first_difference(stored[seed]["arms"], again["arms"])
    if differs:
        print(f"Seed {seed} of {label} no longer gives the recorded {differs}.")
        return False
    for number in stale:
        write_json(exp.seed_file(label, number), stored[number] | {"code_hash": digest})
    collect(exp)
    print(f"Seed {seed} of {label} agrees; the hash of {_count(stale)} is renewed.")
    return True


def collect(exp: Experiment) -> Json:
    """Write `claims.json` from the finished seeds, and return its content."""
    content = aggregate(exp)
    write_json(exp.folder / "claims.json", content)
    return content


def aggregate(exp: Experiment) -> Json:
    """Return what the finished seeds say about each claim.

    Raises:
        ValueError: if a stored seed is damaged, or seeds of one kind of data came from
            different code or data.
    """
    folders = sorted(path for path in exp.folder.glob("seeds/*") if path.is_dir())
    found = {folder.name: _stored(exp, folder.name) for folder in folders}
    data = {
        label: _summary(exp, label, seeds) for label, seeds in found.items() if seeds
    }
    return {"schema": SCHEMA, "data": data}


def _summary(exp: Experiment, label: str, stored: dict[int, Json]) -> Json:
    first = next(iter(stored.values()))
    for key in ("data", "code_hash"):
        odd = [seed for seed, found in stored.items() if found[key] != first[key]]
        if odd:
            raise ValueError(
                f"seeds/{label}: seed {odd[0]} has another {key} than the first one; "
                "RENEW=1 compares them"
            )
    results = {
        claim.id: result
        for claim in exp.claims
        if _base(label, exp.labels) in claim.data and (result := _result(claim, stored))
    }
    return first["data"] | {
        "code_hash": first["code_hash"],
        "versions": first["versions"],
        "minutes": round(sum(found["minutes"] for found in stored.values()), 1),
        "peak_memory_mib": max(found["peak_memory_mib"] for found in stored.values()),
        "seeds": {str(seed): {"arms": found["arms"]} for seed, found in stored.items()},
        "claims": results,
    }


def _base(label: str, labels: Iterable[str]) -> str:
    """Return the label of `paper.yml` that a label of kept-apart data belongs to."""
    return label if label in labels else label.rpartition("-")[0]


def _result(claim: Claim, stored: dict[int, Json]) -> Json | None:
    """Return the intervals and the verdict of one claim; None under two seeds."""
    pairs = []
    for found in stored.values():
        arms = [found["arms"].get(arm, {}) for arm in (claim.method, claim.baseline)]
        if all(claim.metric in arm for arm in arms):
            pairs.append([arm[claim.metric] for arm in arms])
    if len(pairs) < 2:
        return None
    method, baseline = zip(*pairs, strict=True)
    difference = paired_difference(method, baseline)
    intervals = {
        "method": t_interval(method),
        "baseline": t_interval(baseline),
        "difference": difference,
    }
    return {"n": len(pairs)} | {
        "verdict": verdict(difference, claim.margin, claim.better),
        **{
            name: {k: float(f"{v:.6g}") for k, v in asdict(i).items() if k != "n"}
            for name, i in intervals.items()
        },
    }


def write_json(file: Path, content: Json) -> None:
    """Write a JSON file in one step: whole, or not at all.

    Raises:
        SeedError: if it cannot be written, for instance on a full disk.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=1, sort_keys=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError as error:
        raise SeedError(
            f"{_short(file)} cannot be written: {error.strerror or error}."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _stored(exp: Experiment, label: str) -> dict[int, Json]:
    """Return the finished seeds on some data, in rising order."""
    found: dict[int, Json] = {}
    for file in exp.seed_file(label, 0).parent.glob("[0-9]*.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            missing = _KEYS - set(content)
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
            missing = _KEYS
        if missing or file.stem != str(content["seed"]):
            raise ValueError(
                f"{_short(file)} is damaged; delete it to measure it again"
            )
        found[content["seed"]] = content
    return dict(sorted(found.items()))


def _in_workers(tasks: Sequence[tuple[Any, ...]], jobs: int) -> list[Json]:
    """Run `_run_seed` in worker processes, with a progress bar over the seeds."""
    from tqdm import tqdm

    if not tasks:
        return []
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # a spawned worker starts with these
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
    )
    results = []
    try:
        waiting = {pool.submit(_run_seed, *task): task[1] for task in tasks}
        with tqdm(total=len(tasks), unit="seed", dynamic_ncols=True) as bar:
            for future in as_completed(waiting):
                try:
                    results.append(future.result())
                except SeedError:
                    raise
                except Exception as error:
                    raise SeedError(
                        f"Seed {waiting[future]} was ended from outside, perhaps for "
                        f"lack of memory ({error})."
                    ) from error
                bar.update()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, KeyboardInterrupt):
            for child in active_children():
                child.terminate()
        raise
    finally:
        pool.shutdown(wait=True)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    return results


def _start_worker() -> None:
    """Let a worker end with the process that started it, however that ends."""

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=follow, daemon=True).start()


def _run_seed(
    exp: Experiment, seed: int, data: str, about: Json, digest: str, store: bool
) -> Json:
    """Measure one seed in a worker, and store it there and then."""
    started = time.perf_counter()
    try:
        run = importlib.import_module(exp.module).run
        arms = _checked(exp, about["label"], run(seed, data))
    except Exception as error:
        raise SeedError(
            f"Seed {seed} failed: {type(error).__name__}: {error}\n"
            + traceback.format_exc().rstrip()
        ) from None
    content = {
        "schema": SCHEMA,
        "seed": seed,
        "arms": arms,
        "data": about,
        "code_hash": digest,
        "versions": _versions(),
        "minutes": round((time.perf_counter() - started) / 60, 3),
        "peak_memory_mib": _peak_memory(),
    }
    if store:
        write_json(exp.seed_file(about["label"], seed), content)
    return content


def _checked(exp: Experiment, label: str, result: Any) -> Json:
    """Return the arms of a result, as plain floats.

    Raises:
        ValueError: if it has another form, a number is not finite, or a primary claim
            misses an arm.
    """
    arms = result.get("arms") if isinstance(result, dict) else None
    if not isinstance(arms, dict) or not all(
        isinstance(a, dict) for a in arms.values()
    ):
        raise ValueError(
            f'run should return {{"arms": {{arm: {{metric: number}}}}}}, not {result!r}'
        )
    plain = {arm: {m: float(v) for m, v in of.items()} for arm, of in arms.items()}
    for arm, metrics in plain.items():
        for metric, value in metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{metric} of {arm} is {value}; it must be finite")
    for claim in exp.claims:
        if claim.primary and _base(label, exp.labels) in claim.data:
            for arm in (claim.method, claim.baseline):
                if claim.metric not in plain.get(arm, {}):
                    raise ValueError(
                        f"claim '{claim.id}' needs {claim.metric} of {arm}"
                    )
    return plain


def _first_difference(old: Json, new: Json) -> str:
    """Name the first number that differs between the arms of two results, if any."""
    for arm in sorted(old.keys() | new.keys()):
        for metric in sorted(old.get(arm, {}).keys() | new.get(arm, {}).keys()):
            was, now = (side.get(arm, {}).get(metric) for side in (old, new))
            if (
                was is None
                or now is None
                or not math.isclose(was, now, rel_tol=1e-3, abs_tol=1e-6)
            ):
                return f"{metric} of {arm}: recorded {was}, now {now}"
    return ""


def _versions() -> Json:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _peak_memory() -> int:
    """Return this process' peak memory in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if match:
            return round(int(match[1]) / 1024)
    import resource

    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def _count(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seed{'s' * (len(seeds) != 1)}"


def _short(path: Path) -> str:
    """Write a path relative to the working folder where it lies below it."""
    inside = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


def kept(exp: Experiment) -> str:
    """Say which seeds are finished."""
    found = {
        folder.name: ", ".join(
            sorted((f.stem for f in folder.glob("[0-9]*.json")), key=int)
        )
        for folder in sorted(exp.folder.glob("seeds/*"))
    }
    text = "; ".join(f"{label} {seeds}" for label, seeds in found.items() if seeds)
    return f"Finished seeds are kept ({text or 'none yet'}); the same command goes on."


def sentences(exp: Experiment, content: Json) -> list[str]:
    """Say in words what `claims.json` holds, a sentence a claim and kind of data."""
    return [
        f"{claim.id}: {claim_sentence(claim, label, found['claims'].get(claim.id))}"
        for label, found in content["data"].items()
        for claim in exp.claims
        if _base(label, exp.labels) in claim.data
    ]
