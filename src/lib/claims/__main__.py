"""Measures the claims of a paper: `python -m lib.claims mobile_former --seeds 0-7`."""

import argparse
import sys
from collections.abc import Sequence

from lib.claims import runner


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a wrong use, 1 for a failure."""
    parser = argparse.ArgumentParser(prog="python -m lib.claims", description=__doc__)
    parser.add_argument("name", help="slug of the paper")
    parser.add_argument("--seeds", default="0-7", help="such as 0-7 or 0-2,5")
    parser.add_argument("--data", default="world", help="label, Hub id or local folder")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="measure one finished seed again; renew the hashes if it agrees",
    )
    chosen = parser.parse_args(arguments)
    try:
        seeds = runner.parse_seeds(chosen.seeds)
        if chosen.jobs < 1:
            raise ValueError(f"jobs: {chosen.jobs} given; allowed is 1 or more")
        exp = runner.experiment(chosen.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return command(exp, seeds, chosen.data, chosen.jobs, chosen.renew)


def command(
    exp: runner.Experiment, seeds: Sequence[int], data: str, jobs: int, renew: bool
) -> int:
    """Measure or renew, with one sentence for what can go wrong."""
    try:
        if renew:
            return 0 if runner.renew(exp, data) else 1
        content = runner.measure(exp, seeds, data, jobs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except runner.SeedError as error:
        print(f"{error}\n{runner.kept(exp)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted. {runner.kept(exp)}", file=sys.stderr)
        return 130
    print("\n".join(runner.sentences(exp, content)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
