"""The arms of chapter 4's experiment are comparable, and its code runs."""

import pytest
import torch

from lib.assets import load_paper
from lib.claims import few_label as claim
from lib.papers.few_label import PRETRAININGS, RULES


def small(monkeypatch, steps: int = 24) -> None:
    """Make every run of the experiment a matter of seconds."""
    for name, value in (("SOURCE", 160), ("POOL", 120), ("TEST", 40), ("BATCH", 32)):
        monkeypatch.setattr(claim, name, value)
    for name, value in (("DRAWS", 1), ("TUNED_DRAWS", 1), ("LABELS", (1, 2))):
        monkeypatch.setattr(claim, name, value)
    for data in claim.STEPS:
        monkeypatch.setitem(claim.STEPS, data, steps)
    real = claim.finetune
    monkeypatch.setattr(claim, "finetune", lambda *a, **k: real(*a, steps=2, **k))


def named(data: str) -> set[tuple[str, str]]:
    """Give what the claims ask for: pairs of arm and metric."""
    claims = [c for c in load_paper("few_label").claims if data in c.data]
    assert claims
    return {(arm, c.metric) for c in claims for arm in (c.method, c.baseline)}


@pytest.mark.parametrize("data", ["world", "digits", "cifar10"])
def test_a_task_never_trains_on_what_it_tests(data: str, monkeypatch) -> None:
    small(monkeypatch)
    if data == "cifar10":
        x = torch.rand(400, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        halves = ((x[:100], torch.arange(100) % 5), (x[100:300], torch.arange(200) % 5))
        whole = claim.Task(*halves, (x[300:], torch.arange(100) % 5))
        monkeypatch.setattr(claim, "pictures", lambda _: whole)
        task = claim.pictures_task(5, "a folder")
        assert not torch.equal(task.pool[0], claim.pictures_task(6, "a folder").pool[0])
    else:
        task = claim.shapes_task(5, "ink" if data == "world" else "digits")
    source, pool, test = ({p.numpy().tobytes() for p in part[0]} for part in task)
    assert len(pool) == claim.POOL
    assert not (pool & test)
    assert not (source & test)
    assert not (source & pool)
    assert task.classes == (5 if data == "cifar10" else 10)


def test_every_pretraining_starts_from_the_same_weights(monkeypatch) -> None:
    seen, steps = {}, []

    def spy(name):
        def run(encoder, source, target, n, **options):
            seen[name] = torch.cat([p.flatten() for p in encoder.parameters()])
            steps.append(n)
            return encoder.eval()

        return run

    small(monkeypatch)
    task = claim.shapes_task(5)
    for name in PRETRAININGS:
        monkeypatch.setitem(claim.PRETRAININGS, name, spy(name))
        claim.pretrained(name, task, 24, 5)
    assert set(steps) == {24}
    assert len(seen) == len(PRETRAININGS)
    assert all(torch.equal(weights, seen["random"]) for weights in seen.values())


def test_one_seed_of_the_world_gives_what_the_claims_name(monkeypatch) -> None:
    small(monkeypatch, steps=44)
    monkeypatch.setattr(claim, "LABELS", (1, 2, 4, 8))
    monkeypatch.setattr(claim, "POOL", 200)
    arms = claim.run(5)["arms"]
    assert {a for a in arms if "/" not in a} == set(PRETRAININGS)
    assert {a.split("/")[1] for a in arms if "/" in a} == {
        *RULES,
        *("progressive", "at_random", "at_once"),
    }
    assert all(metric in arms[arm] for arm, metric in named("world"))
    probe = [arms["tup"][f"probe_{k}"] for k in (1, 2, 4, 8)]
    assert arms["tup"]["probe"] == pytest.approx(sum(probe) / 4)
    assert arms["tup/balanced"]["classes_1"] == 1
    for found in arms.values():
        for metric, value in found.items():
            if metric.startswith(("probe", "mean", "finetune", "classes", "knn")):
                assert 0 <= value <= 1


def test_one_seed_of_the_sweep_gives_what_the_claims_name(monkeypatch) -> None:
    small(monkeypatch)
    shares = []
    real = claim.tup

    def spy(*args, share, **options):
        shares.append((len(args[2]), share))
        return real(*args, share=share, **options)

    monkeypatch.setattr(claim, "tup", spy)
    monkeypatch.setattr(claim, "SMALL_POOL", 40)
    monkeypatch.setattr(claim, "TARGETS", (0, 8, 16))
    arms = claim.run(5, "sweep")["arms"]
    assert shares == [(120, 0), (120, 0.25), (120, 0.5), (40, 0.25), (40, 0.5)]
    assert list(arms) == ["120/0", "120/8", "120/16", "40/8", "40/16"]
    assert all({"probe", "nmi"} <= set(found) for found in arms.values())
    made = {f"{pool}/{rows}" for pool in (2000, 300) for rows in (0, 1, 6, 32, 64)}
    assert {arm for arm, _ in named("sweep")} <= made


def test_plain_concatenation_is_among_the_shares() -> None:
    for pool, rows in ((2000, 32), (300, 6)):
        assert round(128 * pool / (pool + 6000)) == rows
        assert rows in claim.TARGETS


def test_a_rule_that_goes_on_keeps_what_it_has(monkeypatch) -> None:
    asked = []
    real = claim.select

    def spy(x, budget, rule, **options):
        asked.append((rule, len(options["labelled"]), budget))
        assert (options["labels"] is not None) == (rule == "balanced")
        return real(x, budget, rule, **options)

    small(monkeypatch)
    monkeypatch.setattr(claim, "select", spy)
    task = claim.shapes_task(5)
    x = torch.randn(120, 8, generator=torch.Generator().manual_seed(0))
    claim.choices(task, x, x[:40], 5)
    for rule in claim.RULES:
        found = [(n, budget) for name, n, budget in asked if name == rule]
        going_on = [(0, 10), (10, 10)]
        assert found == (going_on if rule in claim.IN_ROUNDS else [(0, 10), (0, 20)])


def test_a_few_labels_learn_an_easy_target(monkeypatch) -> None:
    """Where classes differ by brightness alone, few labels tell them apart."""
    y = torch.arange(240) % 3
    generator = torch.Generator().manual_seed(0)
    x = 0.1 * torch.rand(240, 3, 32, 32, generator=generator)
    x += 0.4 * y[:, None, None, None]
    task = claim.Task((x, y), (x, y), (x, y))
    encoder = claim.pretrained("supervised", task, 40, 0)
    z = claim.features(encoder, x)
    assert claim.probes(task, z, z, 0)["probe_8"] > 0.9
    assert claim.tunings(task, encoder, 0)["finetune_4"] > 0.6
