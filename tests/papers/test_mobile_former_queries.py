"""The query detector: matching, set loss, positions, any picture, shipped weights."""

import json
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.assets import paper_path
from lib.layers import FormerToMobile, MobileToFormer, PostNormBlock
from lib.papers.mobile_former.queries import (
    QUERY_NANO,
    Prediction,
    QueryBlock,
    QueryDetector,
    QueryFormer,
    QueryHead,
    QueryLook,
    QueryWrite,
    corners,
    detect,
    detection_loss,
    hungarian_match,
    perceptron,
    position_code,
    set_loss,
    unit_boxes,
)
from lib.papers.mobile_former.queries_training import (
    FEW,
    judge,
    load_queries,
    patch_classes,
    query_scenes,
    territories,
    train_queries,
)

TINY = {
    "backbone": {
        "blocks": [("lite", 8, 4), ("MF-down", (8, 16), 8), ("MF-down", (16, 16), 8)],
        "stem": 4,
        "tokens": 2,
        "dim": 16,
    },
    "strides": (8, 4),
    "depths": (2, 2),
    "queries": 5,
    "dim": 16,
    "channels": 8,
}


def tiny(**options):
    return QueryDetector(3, **TINY | options)


def random_targets(counts, generator=None):
    """Draw boxes (B, K, 4) and labels (B, K); picture i has counts[i] objects."""
    shape = len(counts), max([1, *counts])
    size = torch.rand(*shape, 2, generator=generator) * 0.4 + 0.05
    centre = torch.rand(*shape, 2, generator=generator) * 0.6 + 0.2
    labels = torch.randint(0, 3, shape, generator=generator)
    labels[torch.arange(shape[1]) >= torch.tensor(counts)[:, None]] = -1
    return torch.cat([centre, size], dim=-1), labels


def rows(prediction, i):
    """Take one picture of a batch, as a batch of one."""
    return Prediction(*(part[i : i + 1] for part in prediction))


def random_prediction(pictures, queries, generator=None):
    logits = torch.randn(pictures, queries, 4, generator=generator)
    boxes = torch.rand(pictures, queries, 4, generator=generator) * 0.4 + 0.3
    return Prediction(logits, boxes)


# Slow references, box by box and from the definitions.


def slow_corners(box):
    return [box[i % 2] + (-0.5 if i < 2 else 0.5) * box[2 + i % 2] for i in range(4)]


def slow_giou(a, b):
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = slow_corners(a), slow_corners(b)
    shared = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(
        0, min(ay2, by2) - max(ay1, by1)
    )
    union = a[2] * a[3] + b[2] * b[3] - shared
    hull = (max(ax2, bx2) - min(ax1, bx1)) * (max(ay2, by2) - min(ay1, by1))
    return shared / union - (hull - union) / hull


def slow_cost(logits, box, label, true):
    l1 = sum(abs(p - q) for p, q in zip(box.tolist(), true.tolist(), strict=True))
    chance = logits.softmax(dim=0)[label].item()
    return 5 * l1 - 2 * slow_giou(box.tolist(), true.tolist()) - chance


def costs(prediction, boxes, labels):
    """Give the cost of each object (rows) with each query, for one picture."""
    return [
        [
            slow_cost(logits, box, int(label), true)
            for logits, box in zip(*(part[0] for part in prediction), strict=True)
        ]
        for true, label in zip(boxes[0], labels[0], strict=True)
        if label >= 0
    ]


# Matching.


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_match_is_the_cheapest_of_all(objects, more, seed):
    generator = torch.Generator().manual_seed(seed)
    queries = max(1, objects + more)
    prediction = random_prediction(1, queries, generator)
    targets = random_targets([objects], generator)
    query = hungarian_match(prediction, *targets)[0].tolist()
    assert query[objects:] == [-1] * (len(query) - objects)
    query = query[:objects]
    assert len(set(query)) == objects, "one query, one object"
    table = costs(prediction, *targets)
    total = sum(table[i][q] for i, q in enumerate(query))
    best = min(
        sum(table[i][q] for i, q in enumerate(choice))
        for choice in permutations(range(queries), objects)
    )
    assert total == pytest.approx(best, abs=1e-4)


def test_pictures_are_matched_apart():
    boxes, labels = random_targets([3, 0, 2])
    prediction = random_prediction(3, 4)
    query = hungarian_match(prediction, boxes, labels)
    assert (query >= 0).sum(dim=1).tolist() == [3, 0, 2]
    for i in range(3):
        alone = hungarian_match(rows(prediction, i), boxes[[i]], labels[[i]])
        assert torch.equal(query[[i]], alone)


def test_gaps_in_the_labels():
    (boxes, labels), prediction = random_targets([4]), random_prediction(1, 6)
    labels[0, 1] = -1
    query = hungarian_match(prediction, boxes, labels)
    there = labels[0] >= 0
    dense = hungarian_match(prediction, boxes[:, there], labels[:, there])
    assert query[0, 1] == -1
    assert torch.equal(query[:, there], dense)


def test_match_follows_the_weights():
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]]])
    logits = torch.tensor([[[0.0, 9.0], [9.0, 0.0]]])
    targets = boxes[:, :1], torch.tensor([[0]])
    prediction = Prediction(logits, boxes)
    assert hungarian_match(prediction, *targets).tolist() == [[0]], "the near box"
    by_class = hungarian_match(prediction, *targets, weights=(1.0, 0.0, 0.0))
    assert by_class.tolist() == [[1]], "the class alone"


def test_more_objects_than_queries():
    with pytest.raises(ValueError, match="labels: 3 objects in a picture, 2 queries"):
        hungarian_match(random_prediction(1, 2), *random_targets([3]))


# The set loss.


def test_set_loss_of_one_picture_by_hand():
    prediction, (boxes, labels) = random_prediction(1, 6), random_targets([3])
    table = costs(prediction, boxes, labels)
    best = min(
        permutations(range(6), 3),
        key=lambda choice: sum(table[i][q] for i, q in enumerate(choice)),
    )
    entropy = weight_sum = l1 = overlap = 0.0
    for q in range(6):
        label = int(labels[0, best.index(q)]) if q in best else 3
        weight = 1.0 if q in best else 0.1
        entropy -= weight * prediction.logits[0, q].log_softmax(dim=0)[label].item()
        weight_sum += weight
    for i, q in enumerate(best):
        own, true = prediction.boxes[0, q].tolist(), boxes[0, i].tolist()
        l1 += sum(abs(a - b) for a, b in zip(own, true, strict=True)) / 3
        overlap += (1 - slow_giou(own, true)) / 3
    got = set_loss(prediction, boxes, labels)
    assert got["class"].item() == pytest.approx(entropy / weight_sum, abs=1e-5)
    assert got["l1"].item() == pytest.approx(l1, abs=1e-5)
    assert got["giou"].item() == pytest.approx(overlap, abs=1e-5)
    total = detection_loss([prediction], boxes, labels)
    by_hand = entropy / weight_sum + 5 * l1 + 2 * overlap
    assert total.item() == pytest.approx(by_hand, abs=1e-4)


@given(st.permutations(range(4)), st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_order_of_the_targets_is_nothing(order, seed):
    generator = torch.Generator().manual_seed(seed)
    prediction = random_prediction(2, 6, generator)
    boxes, labels = random_targets([4, 2], generator)
    ours = set_loss(prediction, boxes, labels)
    theirs = set_loss(prediction, boxes[:, order], labels[:, order])
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_normalised_by_the_boxes_of_the_whole_batch():
    prediction, (boxes, labels) = random_prediction(2, 5), random_targets([3, 1])
    whole = set_loss(prediction, boxes, labels)
    parts = [set_loss(rows(prediction, i), boxes[[i]], labels[[i]]) for i in range(2)]
    for name in ("l1", "giou"):
        mean = (3 * parts[0][name] + parts[1][name]) / 4
        torch.testing.assert_close(whole[name], mean)


def test_pictures_without_objects():
    prediction = random_prediction(2, 5)
    for part in prediction:
        part.requires_grad_()
    got = set_loss(prediction, *random_targets([0, 0]))
    assert got["l1"] == got["giou"] == 0
    nothing = torch.full((10,), 3)
    wanted = nn.functional.cross_entropy(prediction.logits.flatten(0, 1), nothing)
    torch.testing.assert_close(got["class"], wanted)
    sum(got.values()).backward()
    assert prediction.logits.grad.isfinite().all()
    assert prediction.boxes.grad.abs().sum() == 0


def test_no_object_weighs_less():
    prediction, targets = random_prediction(1, 4), random_targets([1])
    chosen = hungarian_match(prediction, *targets)[0, 0]
    label = targets[1][0, 0]
    only = set_loss(prediction, *targets, no_object=0.0)["class"]
    wanted = -prediction.logits[0, chosen].log_softmax(dim=0)[label]
    torch.testing.assert_close(only, wanted)


def test_auxiliary_losses():
    predictions = [random_prediction(2, 5) for _ in range(3)]
    targets = random_targets([2, 1])
    alone = [detection_loss([p], *targets) for p in predictions]
    torch.testing.assert_close(detection_loss(predictions, *targets), sum(alone))
    last = detection_loss(predictions, *targets, auxiliary=False)
    torch.testing.assert_close(last, alone[-1])
    no_giou = detection_loss(predictions[:1], *targets, weights=(1.0, 5.0, 0.0))
    parts = set_loss(predictions[0], *targets)
    torch.testing.assert_close(no_giou, parts["class"] + 5 * parts["l1"])


# Boxes and places.


def test_boxes_there_and_back():
    boxes = torch.tensor([0.5, 0.25, 0.2, 0.1])
    torch.testing.assert_close(corners(boxes), torch.tensor([0.4, 0.2, 0.6, 0.3]))
    pixels = torch.tensor([10.0, 20.0, 30.0, 60.0])
    want = torch.tensor([0.2, 0.2, 0.2, 0.2])
    torch.testing.assert_close(unit_boxes(pixels, (200, 100)), want)
    many = torch.rand(2, 7, 4)
    torch.testing.assert_close(unit_boxes(corners(many), (1, 1)), many)


def test_position_code():
    code = position_code(6, 9, 16)
    assert code.shape == (16, 6, 9)
    assert code.abs().max() <= 1
    assert (code[:8] == code[:8, :, :1]).all(), "half of it knows only the row"
    assert (code[8:] == code[8:, :1]).all(), "the other half only the column"
    pixels = code.flatten(1).T
    apart = torch.cdist(pixels, pixels) + 9 * torch.eye(len(pixels))
    assert apart.min() > 0.1, "no two places share a code"
    # A pixel of a coarse map has the code of the fine one at its middle.
    fine = position_code(18, 27, 16)[:, 1::3, 1::3]
    torch.testing.assert_close(fine, code, atol=1e-4, rtol=0)
    for channels in (0, 6):
        with pytest.raises(ValueError, match=f"channels={channels}; allowed"):
            position_code(4, 4, channels)


# The parts of the head are those of the classifier, with a position.


@pytest.mark.parametrize(
    ("ours", "theirs", "sizes"),
    [
        (QueryLook, MobileToFormer, (8, 16)),
        (QueryFormer, PostNormBlock, (16,)),
        (QueryWrite, FormerToMobile, (16, 8)),
    ],
)
def test_without_position_the_known_layer(ours, theirs, sizes):
    mine, known = ours(*sizes, heads=2), theirs(*sizes, heads=2)
    known.load_state_dict(mine.state_dict())
    x, queries = torch.randn(2, 8, 3, 5), torch.randn(2, 4, 16)
    inputs = (queries,) if ours is QueryFormer else (x, queries)
    position = torch.randn(2, 4, 16 if ours is QueryFormer else 15)
    torch.testing.assert_close(mine(*inputs), known(*inputs))
    torch.testing.assert_close(mine(*inputs, position * 0), known(*inputs))
    assert not torch.allclose(mine(*inputs, position), known(*inputs))


def test_near_is_added_to_the_scores():
    x, queries, near = (
        torch.randn(2, 8, 3, 5),
        torch.randn(2, 4, 16),
        torch.randn(2, 4, 15),
    )
    look, write = QueryLook(8, 16, gate=False), QueryWrite(16, 8)
    shares = (look.logits(x, queries).flatten(3) + near[:, None]).softmax(dim=-1)
    halves = x.flatten(2).unflatten(1, (2, 4))  # (B, h, C / h, HW)
    found = torch.einsum("bhmn,bhcn->bmhc", shares, halves).flatten(2)
    want = look.norm(queries + look.out(found))
    torch.testing.assert_close(look(x, queries, near), want)

    shares = (write.logits(x, queries).flatten(3) + near[:, None]).softmax(dim=2)
    values = write.value(queries).unflatten(2, (2, 4))  # (B, M, h, C / h)
    mix = torch.einsum("bhmn,bmhc->bhcn", shares, values).flatten(1, 2)
    want = x + mix.unflatten(2, (3, 5))
    torch.testing.assert_close(write(x, queries, near), want)


def test_a_query_looks_where_it_is_placed():
    # The code of a place matches the codes of the pixels best at that place.
    code = position_code(8, 8, 32).flatten(1)
    near = code.T @ code
    assert near.argmax(dim=1).tolist() == list(range(64))
    look = QueryLook(8, 32)
    nn.init.zeros_(look.query.weight)
    nn.init.zeros_(look.query.bias)
    x = torch.zeros(1, 8, 8, 8)
    x[0, :, 2, 5] = 1  # something at one place
    found = []
    hook = look.out.register_forward_hook(lambda _, i, o: found.append(i[0]))
    look(x, torch.zeros(1, 64, 32), near[None])
    hook.remove()
    assert found[0][0].sum(dim=1).argmax() == 2 * 8 + 5


def test_position_is_no_content():
    former = QueryFormer(16)
    queries = torch.randn(1, 1, 16).expand(2, 4, 16)
    # Equal contents mix to the same, wherever the queries are.
    torch.testing.assert_close(
        former(queries, torch.randn(4, 16)), former(queries, torch.randn(4, 16))
    )


def test_perceptron():
    net = perceptron([3, 5, 4])
    assert [type(layer) for layer in net] == [nn.Linear, nn.ReLU, nn.Linear]
    assert net(torch.zeros(2, 3)).shape == (2, 4)


def test_block_is_its_parts_in_order():
    block = QueryBlock(8, 16).eval()
    x, q, p = torch.randn(2, 8, 4, 6), torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    near = p @ position_code(4, 6, 16).flatten(1) / 4
    queries = block.former(block.look(x, q, near), p)
    want = (
        block.write(block.mobile(x), queries, near),
        queries,
        p + block.adapt(queries),
    )
    for got, wanted in zip(block(x, q, p), want, strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("adapt", [True, False])
def test_position_switch(adapt):
    block = QueryBlock(8, 16, adapt=adapt).eval()
    p = torch.randn(2, 5, 16)
    _, _, position = block(torch.randn(2, 8, 4, 4), torch.randn(2, 5, 16), p)
    assert torch.equal(position, p) is not adapt
    model = tiny(adapt_position=adapt)
    # Every block but the last one adapts, since nobody reads what that would leave.
    assert sum(b.adapt is not None for b in model.head.blocks) == 3 * adapt


# The whole detector.


def test_one_prediction_a_block():
    model = tiny(depths=(1, 3))
    assert len(model.head.blocks) == 4
    said = model(torch.rand(2, 3, 32, 32))
    assert len(said) == 4
    for logits, boxes in said:
        assert logits.shape == (2, 5, 4)
        assert boxes.shape == (2, 5, 4)
        assert (boxes > 0).all()
        assert (boxes < 1).all()


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 24)])
def test_any_picture(size):
    model = tiny().eval()
    found = detect(model, torch.rand(2, 3, *size), score=0.0)
    assert [len(f.labels) for f in found] == [5, 5]
    for boxes, scores, labels in found:
        middle = unit_boxes(boxes, size)[:, :2]
        assert (middle > 0).all()
        assert (middle < 1).all()
        assert (scores.diff() <= 0).all()
        assert labels.max() < 3, "no object is no detection"


def test_finer_maps_are_added():
    head = QueryHead([8, 4], [1, 1], 3, queries=5, dim=16, channels=8).eval()
    coarse, fine = torch.randn(1, 8, 3, 3), torch.randn(1, 4, 5, 6)
    seen = []
    first, second = head.blocks
    second.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head([coarse, fine])
    x, queries, position = first(
        head.entries[0](coarse), head.queries[None], head.position[None]
    )
    up = nn.functional.interpolate(x, (5, 6), mode="bilinear")
    torch.testing.assert_close(seen[0], up + head.entries[1](fine))
    _, last, _ = second(seen[0], queries, position)
    want = head.answer.locate(last + position).sigmoid()
    torch.testing.assert_close(head([coarse, fine])[-1].boxes, want)


@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize("adapt", [True, False])
def test_gradients_reach_everything(auxiliary, adapt):
    torch.manual_seed(0)
    model = tiny(adapt_position=adapt)
    said = model(torch.rand(3, 3, 32, 32))
    detection_loss(said, *random_targets([2, 0, 3]), auxiliary=auxiliary).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_learns_one_picture():
    torch.manual_seed(0)
    model = tiny()
    images = torch.rand(2, 3, 32, 32)
    boxes = torch.tensor([[0.3, 0.3, 0.2, 0.4], [0.7, 0.6, 0.3, 0.2]])
    targets = boxes.expand(2, -1, -1), torch.tensor([[0, 2], [1, 1]])
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = loss = detection_loss(model(images), *targets).item()
    for _ in range(15):
        optimiser.zero_grad()
        value = detection_loss(model(images), *targets)
        value.backward()
        optimiser.step()
        loss = value.item()
    assert loss < 0.7 * first


def test_score_and_bad_input():
    model = tiny().eval()
    x = torch.rand(1, 3, 32, 32)
    (every,), (few,) = detect(model, x, score=0.0), model.detect(x, score=0.3)
    kept = every.scores >= 0.3
    torch.testing.assert_close(few.boxes, every.boxes[kept])
    with pytest.raises(ValueError, match=r"score=1.5; allowed is 0 to 1"):
        detect(model, x, score=1.5)
    with pytest.raises(ValueError, match=r"detect\(\) needs model.eval\(\) first"):
        detect(model.train(), x)
    for strides in ((4, 8), (16, 8), (8, 8)):
        with pytest.raises(ValueError, match=r"strides=.*falling ones of \[2, 4, 8\]"):
            tiny(strides=strides)
    for depths in ((2,), (2, 0)):
        with pytest.raises(ValueError, match=r"depths=.*allowed is 1 or more for each"):
            tiny(depths=depths)


def test_backbone_has_spatial_activations():
    assert tiny().backbone.switches.act == "spatial"
    assert QueryDetector(2, **QUERY_NANO).backbone.switches.act == "spatial"


# Training, and what is shipped.


class Oracle(nn.Module):
    """Says what it was told, with the first object twice if asked to."""

    def __init__(self, boxes, labels, twice):
        super().__init__()
        chosen = [*range(labels.shape[1]), *([0] if twice else [])]
        self.boxes = unit_boxes(boxes, (64, 64))[:, chosen]
        classes = nn.functional.one_hot(labels[:, chosen], 12)
        # The second of the two is surer than all but the first.
        self.logits = (
            classes * torch.tensor([9.0, *[7.0] * 4, 8.0])[: len(chosen), None]
        )

    def forward(self, x):
        return [Prediction(self.logits, self.boxes)]


def test_judge():
    images, boxes, labels = query_scenes(4, 3, "test")
    assert images.shape == (4, 3, 64, 64)
    assert boxes.shape == (4, 5, 4)
    assert (labels == 10).sum(dim=1).tolist() == [1, 1, 1, 1], "one cue a scene"
    where = territories(Oracle(boxes, labels, twice=False), images)
    middle = ((boxes[..., :2] + boxes[..., 2:]) / 2 // 16).long()
    for query in range(5):
        cells = [4 * y + x for x, y in middle[:, query].tolist()]
        assert where[query].tolist() == [cells.count(cell) for cell in range(16)]
    good = judge(Oracle(boxes, labels, twice=False), images, boxes, labels)
    assert good["AP"] == good["AP50"] == good["AP50_nms"] == 1
    assert (good["found"], good["double"]) == (5, 0)
    assert good["cells_per_query"] == round((where > 0).sum().item() / 5, 2)
    double = judge(Oracle(boxes, labels, twice=True), images, boxes, labels)
    assert (double["found"], double["double"]) == (6, 1)
    assert double["AP50"] < 1
    assert double["AP50_nms"] == 1


def test_patches():
    boxes = torch.tensor([[[1.0, 2, 7, 8], [8, 0, 14, 5], [20, 9, 23, 13]]])
    held = patch_classes(boxes, torch.tensor([[3, 0, 10]]), 32, 8)
    assert held.shape == (1, 4, 4)
    want = torch.zeros(4, 4, dtype=torch.long)
    want[0, 0], want[0, 1], want[1, 2] = 4, 1, 11
    assert torch.equal(held[0], want)
    with pytest.raises(ValueError, match="stride=5 must divide size=32"):
        patch_classes(boxes, torch.tensor([[3, 0, 10]]), 32, 5)


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_patches_by_counting_pixels(seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 20, (1, 1, 2), generator=generator)
    side = torch.randint(1, 13, (1, 1, 2), generator=generator)
    boxes = torch.cat([corner, corner + side], dim=-1)
    picture = torch.zeros(1, 1, 32, 32)
    x1, y1, x2, y2 = boxes[0, 0].tolist()
    picture[:, :, y1:y2, x1:x2] = 1
    pixels = 64 * nn.functional.avg_pool2d(picture, 8)[0, 0]
    want = (pixels >= min(64, picture.sum().item()) / 4 - 1e-4) * 6
    held = patch_classes(boxes.float(), torch.tensor([[5]]), 32, 8)
    assert torch.equal(held[0], want)


def test_training_is_repeated_bit_by_bit(tmp_path):
    options = dict(steps=2, batch=2, first_steps=1, scenes=32, held_out=2)
    model, log = train_queries(5, folder=tmp_path, **options)
    again, _ = train_queries(5, **options)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert json.loads((tmp_path / "queries.json").read_text()) == log
    assert len(log["loss"]) == len(log["first_loss"]) == 1
    kept = load_queries(tmp_path / "queries.safetensors")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(kept(x)[-1].boxes, model(x)[-1].boxes)
    with pytest.raises(ValueError, match="there is no such checkpoint"):
        load_queries(tmp_path / "none.safetensors")


def test_shipped_weights():
    file = paper_path("mobile_former", "weights", "queries.safetensors")
    log = json.loads(file.with_suffix(".json").read_text())
    model = load_queries()
    assert sum(p.numel() for p in model.parameters()) == log["parameters"]
    assert file.stat().st_size < 2_000_000
    got = judge(model, *(part[:FEW] for part in query_scenes(FEW, 0, "test")))
    # Another machine sums in another order; nothing more may differ.
    assert got["AP50"] == pytest.approx(log["few"]["AP50"], abs=0.02)
    # A few scenes scatter about the many of the log.
    assert got["AP50"] == pytest.approx(log["held_out"]["AP50"], abs=0.1)
    assert log["held_out"]["AP50"] > 0.5
    assert log["held_out"]["double"] < 0.1
    # Each query keeps to its cell of the scenes, which is why nothing is found twice.
    for measured in (got, log["held_out"]):
        assert measured["cells_per_query"] == pytest.approx(1, abs=0.2)
