"""Workflows, the clean-machine run, and the citation file."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import lib
from tools import bootstrap

WORKFLOWS = ("colab", "pages", "test")


def workflow_problems(text: str, targets: set[str]) -> list[str]:
    """Return what is wrong with a workflow, one sentence each."""
    try:
        workflow = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"no YAML: {error}"]
    problems = []
    if True not in workflow:  # YAML 1.1 reads the key `on` as true
        problems.append("never starts")
    if "permissions" not in workflow:
        problems.append("asks for every permission")
    for name, job in workflow.get("jobs", {}).items():
        for step in job.get("steps", []):
            if ("run" in step) == ("uses" in step):
                problems.append(f"{name}: a step needs either run or uses")
            if not re.fullmatch(r"[\w/-]+@v\d+", step.get("uses", "a/b@v1")):
                problems.append(f"{name}: {step['uses']} names no version")
            script = re.sub(r"\$\{\{.*?\}\}", "x", step.get("run", ""))
            checked = subprocess.run(["bash", "-n"], input=script, text=True)
            if checked.returncode:
                problems.append(f"{name}: bash cannot read {script!r}")
            for target in re.findall(r"^make ([\w-]+)", script, re.M):
                if target not in targets:
                    problems.append(f"{name}: there is no make {target}")
            for tool in re.findall(r"tools/\w+\.py", script):
                if not Path(bootstrap.ROOT, tool).is_file():
                    problems.append(f"{name}: there is no {tool}")
    return problems


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))


def test_the_three_workflows_are_sound(root: Path, targets: set[str]) -> None:
    paths = sorted((root / ".github" / "workflows").iterdir())
    assert [path.stem for path in paths] == list(WORKFLOWS)
    for path in paths:
        assert workflow_problems(path.read_text(), targets) == []


BAD = """
jobs:
  a:
    steps:
      - name: nothing
      - uses: actions/checkout
      - run: if true
      - run: make bokk
      - run: python tools/absent.py
"""


def test_a_bad_workflow_is_found(targets: set[str]) -> None:
    assert workflow_problems("a: [", targets)[0].startswith("no YAML")
    said = "; ".join(workflow_problems(BAD, targets))
    for words in ("never starts", "every permission", "either run or uses"):
        assert words in said
    for words in ("names no version", "cannot read", "no make bokk", "absent.py"):
        assert words in said


def test_github_tests_every_python_that_the_package_allows(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github/workflows/test.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tested == ["3.11", "3.12", "3.13"]


def test_ci_runs_the_committed_book_alone_and_hands_the_result_on(
    root: Path, tmp_path: Path
) -> None:
    checkout, bin_, away = tmp_path / "x y", tmp_path / "bin", tmp_path / "away"
    for folder in (checkout / ".ci", bin_, away):
        folder.mkdir(parents=True)
    script = checkout / ".ci" / "run"
    script.write_bytes((root / ".ci" / "run").read_bytes())
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(checkout)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "The book"]):
        subprocess.run([*git, *command], check=True)
    (checkout / "not-committed").write_text("")
    log = tmp_path / "log"
    (bin_ / "chromium").write_text("#!/bin/sh\n")
    (bin_ / "make").write_text(
        '#!/bin/sh\nfor said in "$*" "$PWD" "$HOME" "$XDG_CACHE_HOME" "$CI"'
        ' "$PIP_FIND_LINKS" "$(ls -A)" "$(ls ..)" "$(cat)"; do\n'
        f'echo $said; done >"{log}"\nexit 3\n'
    )
    for tool in bin_.iterdir():
        tool.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "HOME": str(away),
        "PIP_FIND_LINKS": "wheels",
        "TMPDIR": str(tmp_path),
    }
    ran = subprocess.run(
        ["bash", str(script)], env=environment, input="typed", text=True, cwd=away
    )
    assert ran.returncode == 3
    command, place, home, cache, ci, links, files, beside, typed = (
        log.read_text().split("\n")[:9]
    )
    assert (command, ci, links, typed) == ("test", "true", "wheels", "")
    assert (files, beside) == (".ci .git", "book")
    assert not {place, home, cache} & {str(checkout), str(away)}
    assert not Path(place).exists(), "the copy is removed at the end"


def test_the_citation_agrees_with_the_package(root: Path) -> None:
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "type", "authors", "date-released"} <= set(citation)
    assert citation["title"] == project["description"]
    assert citation["version"] == project["version"] == lib.__version__
    assert citation["repository-code"] == bootstrap.address()
    owner, name = bootstrap.check_address(bootstrap.address())
    assert citation["url"] == f"https://{owner}.github.io/{name}/"
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    for names in citation["authors"]:
        assert set(names) <= {"name", "family-names", "given-names", "orcid"}
