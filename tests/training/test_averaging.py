import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lib.training import EMA


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype)


def steps(model, n=5):
    """Change weights and running statistics as training would."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(n):
        x = torch.randn(8, 3, generator=generator).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("buffers", ["copy", "keep"])
def test_equals_the_definition_weight_by_weight(dtype, buffers):
    model = network(dtype)
    ema = EMA(model, 0.9, buffers)
    slow = {name: p.detach().clone() for name, p in model.named_parameters()}
    at_first = {name: b.clone() for name, b in model.named_buffers()}
    for _ in steps(model):
        ema.update(model)
        for name, p in model.named_parameters():
            slow[name] = 0.9 * slow[name] + 0.1 * p.detach()
    for name, p in ema.module.named_parameters():
        torch.testing.assert_close(p, slow[name], rtol=1e-6, atol=1e-7)
        assert not p.requires_grad
        assert p.grad_fn is None
    expected = dict(model.named_buffers()) if buffers == "copy" else at_first
    for name, buffer in ema.module.named_buffers():
        assert torch.equal(buffer, expected[name])
    assert ema.updates == 5


def test_equals_torchs_averaged_model():
    model = network()
    ours = EMA(model, 0.99)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    theirs.update_parameters(model)  # the first call copies
    for _ in steps(model):
        ours.update(model)
        theirs.update_parameters(model)
    for a, b in zip(
        ours.module.state_dict().values(),
        theirs.module.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_distance_to_a_fixed_target_halves_at_the_half_life():
    target, start = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(target.weight)
    nn.init.ones_(start.weight)
    ema = EMA(start, 0.999)
    for _ in range(round(math.log(0.5) / math.log(0.999))):
        ema.update(target)
    assert ema.module.weight.item() == pytest.approx(0.5, abs=1e-3)


def test_decay_may_depend_on_the_step():
    model = network()
    ema = EMA(model, lambda t: min(0.98, (1 + t) / (10 + t)))
    slow = model[0].weight.detach().clone()
    for t, _ in enumerate(steps(model)):
        ema.update(model)
        decay = min(0.98, (1 + t) / (10 + t))
        slow = decay * slow + (1 - decay) * model[0].weight.detach()
    torch.testing.assert_close(ema.module[0].weight, slow)


def test_copy_and_state():
    model = network()
    ema = EMA(model, 0.5)
    for _ in steps(model):
        ema.update(model)
    twin = EMA(network(), 0.5)
    twin.load_state_dict(ema.state_dict())
    ema.copy_to(model)
    assert twin.updates == 5
    for a, b, c in zip(
        *(m.state_dict().values() for m in (model, ema.module, twin.module)),
        strict=True,
    ):
        assert torch.equal(a, b)
        assert torch.equal(b, c)
    assert all(p.requires_grad for p in model.parameters())


def test_bad_arguments_are_named():
    model = network()
    with pytest.raises(ValueError, match=r"decay=1.1 must be from 0 to 1"):
        EMA(model, 1.1)
    with pytest.raises(ValueError, match="decay=2 must be from 0 to 1"):
        EMA(model, lambda t: 2).update(model)
    with pytest.raises(ValueError, match="buffers='average' must be 'copy' or 'keep'"):
        EMA(model, 0.9, "average")
    with pytest.raises(ValueError, match=r"only one side has 0\.bias"):
        EMA(model, 0.9).update(nn.Sequential(nn.Linear(3, 4, bias=False)))
