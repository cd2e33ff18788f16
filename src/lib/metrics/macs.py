"""Multiply-adds of a network, counted while it runs."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# One formula a kind of operator: (its arguments, its output) -> multiply-adds.


def _convolution(args: Any, out: Tensor) -> int:
    x, weight, transposed = args[0], args[1], args[6]
    # Each output (transposed: each input) meets the weights of its own channel.
    return (x if transposed else out).numel() * (weight.numel() // weight.shape[0])


def _product(args: Any, out: Tensor) -> int:
    return out.numel() * args[0].shape[-1]


def _product_with_bias(args: Any, out: Tensor) -> int:
    return out.numel() * args[1].shape[-1]


def _attention(args: Any, out: Any) -> int:
    query, key, value = args[:3]  # (B, h, N, c), (B, h, L, c), (B, h, L, e)
    return query.shape[:-1].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])


def _batch_norm(args: Any, out: Any) -> int:
    return args[0].numel() * (1 if args[1] is None else 2)


def _layer_norm(args: Any, out: Any) -> int:
    return args[0].numel() * (4 if args[2] is None else 5)


def _group_norm(args: Any, out: Any) -> int:
    return args[0].numel() * (4 if args[1] is None else 5)


_PRODUCTS = {
    "convolution": _convolution,
    "mm": _product,
    "bmm": _product,
    "mv": _product,
    "dot": _product,
    "addmm": _product_with_bias,
    "baddbmm": _product_with_bias,
    "addmv": _product_with_bias,
    # One name for each kernel behind scaled_dot_product_attention; a further one
    # computes it by matrix products and is counted there.
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
}
_NORMS = {
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
}


class _Counting(TorchDispatchMode):
    """Add up, by part, what passes; the innermost open part is charged."""

    def __init__(self, formulas: Mapping[str, Callable[[Any, Any], int]]) -> None:
        super().__init__()
        self.formulas = formulas
        self.parts = ["rest"]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        namespace, _, name = func._schema.name.partition("::")
        if namespace == "aten" and name in self.formulas:
            self.counts[self.parts[-1]] += self.formulas[name](args, out)
        return out


def _count(
    model: Callable[..., Any],
    inputs: Iterable[Any],
    include_norm: bool,
    parts: Mapping[str, str],
) -> Counter[str]:
    counting = _Counting(_PRODUCTS | (_NORMS if include_norm else {}))
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    training = [module for module in modules.values() if module.training]
    hooks = []
    for name, module in modules.items():
        for part, pattern in parts.items():
            if re.fullmatch(pattern, name):
                hooks += [
                    module.register_forward_pre_hook(
                        lambda *_, part=part: counting.parts.append(part)
                    ),
                    module.register_forward_hook(
                        lambda *_: counting.parts.pop() and None
                    ),
                ]
                break
        module.training = False
    try:
        # Inference mode would hide the products inside composite operators.
        with torch.inference_mode(False), torch.no_grad(), counting:
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    return counting.counts


def count_macs(
    model: Callable[..., Any], *inputs: Any, include_norm: bool = True
) -> int:
    """Count the multiply-adds of one forward pass.

    Convolutions, linear layers, matrix products (einsum too) and the two products
    inside `scaled_dot_product_attention`, whichever kernel computes it. Biases,
    activations, softmax, pooling and sums are free.

    With `include_norm` normalisation counts as in fvcore, the counter behind many
    published tables: batch norm in eval mode 2 per element (1 without affine), layer
    and group norm 5 (4 without).

    Args:
        model: a module, counted in eval mode and left as it was, or a function.
        inputs: what to call it with; a batch of B counts B times.
        include_norm: whether to count normalisation.

    Returns:
        Multiply-adds, not floating point operations (which are twice as many).
    """
    return _count(model, inputs, include_norm, {}).total()


def macs_by_part(
    model: nn.Module,
    *inputs: Any,
    parts: Mapping[str, str],
    include_norm: bool = True,
) -> dict[str, int]:
    """Split the multiply-adds of one forward pass among named parts.

    A module belongs to the first part whose pattern matches its whole name, such as
    "blocks.3.former"; other modules belong to the part of the module around them.

    Args:
        model: the network.
        inputs: what to call it with.
        parts: name of the part -> regular expression for names of modules.
        include_norm: whether to count normalisation.

    Returns:
        Multiply-adds of each part, in the order of `parts`; what no part claims
        comes last under "rest" if there is any. The sum is `count_macs`.
    """
    counts = _count(model, inputs, include_norm, parts)
    rest = {"rest": counts["rest"]} if counts["rest"] else {}
    return {part: counts[part] for part in parts} | rest
