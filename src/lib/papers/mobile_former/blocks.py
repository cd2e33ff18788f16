"""The blocks of Mobile-Former, from the lite bottleneck to the head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.layers import (
    ConvBNAct,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    SqueezeExcite,
    channel_shuffle,
    token_shares,
)

ActFactory = Callable[[int], nn.Module]


def relu6(channels: int) -> nn.Module:
    """Make the activation that needs no token, whatever the width."""
    return nn.ReLU6()


class LiteBottleneck(nn.Module):
    """A depthwise convolution that also widens, then a pointwise one that narrows.

    With stride 1 and equal widths the input is added to the output. With
    `groups > 1` the pointwise convolution is grouped, and the channels are shuffled
    before it, so that a group draws on many input channels.

    Args:
        channels_in: width of the input; must divide `hidden`.
        hidden: width between the two convolutions.
        channels_out: width of the output.
        stride: 1 or 2.
        groups: groups of the pointwise convolution.
        act: makes the activation for a width; called as `act(x, *context)`.
        squeeze_excite: whether to scale the hidden channels by pooled attention.

    Shape: (B, channels_in, H, W) -> (B, channels_out, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(
        self,
        channels_in: int,
        hidden: int,
        channels_out: int,
        *,
        stride: int = 1,
        groups: int = 1,
        act: ActFactory = relu6,
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        self.widen = ConvBNAct(
            channels_in,
            hidden,
            stride=stride,
            groups=channels_in,
            shuffle=channels_in if groups > 1 else 1,
            act=None,
        )
        self.act = act(hidden)
        self.excite = SqueezeExcite(hidden) if squeeze_excite else nn.Identity()
        self.narrow = ConvBNAct(hidden, channels_out, kernel=1, groups=groups, act=None)
        self.add_input = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return the new map; `context` is handed to the activation."""
        y = self.act(self.widen(x), *context)  # (B, hidden, H / stride, W / stride)
        y = self.narrow(self.excite(y))  # (B, channels_out, H / stride, W / stride)
        return x + y if self.add_input else y


class MobileBlock(nn.Module):
    """The inverted bottleneck: widen, filter each channel, narrow.

    Both activations come after wide layers; the narrow output stays linear, and the
    input is added where the widths agree (the Mobile part of an MF block).

    Args:
        channels_in: width of the input.
        hidden: width of the two wide layers.
        channels_out: width of the output.
        groups: groups of the two pointwise convolutions, whose outputs are shuffled.
        act: makes the activation for a width; called as `act(x, *context)`.
        squeeze_excite: whether to scale the hidden channels by pooled attention.

    Shape: (B, channels_in, H, W) -> (B, channels_out, H, W).
    """

    def __init__(
        self,
        channels_in: int,
        hidden: int,
        channels_out: int,
        *,
        groups: int = 1,
        act: ActFactory = relu6,
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        self.widen = ConvBNAct(
            channels_in, hidden, kernel=1, groups=groups, shuffle=groups, act=None
        )
        self.act1 = act(hidden)
        self.depthwise = ConvBNAct(hidden, hidden, groups=hidden, act=None)
        self.act2 = act(hidden)
        self.excite = SqueezeExcite(hidden) if squeeze_excite else nn.Identity()
        self.narrow = ConvBNAct(
            hidden, channels_out, kernel=1, groups=groups, shuffle=groups, act=None
        )
        self.add_input = channels_in == channels_out

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return the new map; `context` is handed to both activations."""
        y = self.act1(self.widen(x), *context)  # (B, hidden, H, W)
        y = self.act2(self.depthwise(y), *context)
        y = self.narrow(self.excite(y))  # (B, channels_out, H, W)
        return x + y if self.add_input else y


class MobileDownBlock(nn.Module):
    """Two lite bottlenecks, the first of which halves the picture.

    Widening in the depthwise convolution keeps the pointwise one away from the
    large map (the Mobile part of an MF-down block).

    Args:
        channels_in: width of the input; must divide the first hidden width.
        hidden: hidden widths of the two halves.
        channels_out: width of the output; must divide the second hidden width.
        groups: groups of the pointwise convolutions.
        act: makes the activation for a width; called as `act(x, *context)`.
        squeeze_excite: whether to scale the hidden channels by pooled attention.

    Shape: (B, channels_in, H, W) -> (B, channels_out, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(
        self,
        channels_in: int,
        hidden: tuple[int, int],
        channels_out: int,
        *,
        groups: int = 1,
        act: ActFactory = relu6,
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        self.down = LiteBottleneck(
            channels_in,
            hidden[0],
            channels_out,
            stride=2,
            groups=groups,
            act=act,
            squeeze_excite=squeeze_excite,
        )
        self.refine = LiteBottleneck(
            channels_out,
            hidden[1],
            channels_out,
            groups=groups,
            act=act,
            squeeze_excite=squeeze_excite,
        )

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return the map at half the size; `context` goes to both activations."""
        x = self.down(x, *context)  # (B, channels_out, H / 2, W / 2)
        return self.refine(x, *context)


class MobileFormerBlock(nn.Module):
    """One block of the network: look, think, filter, write back.

    The order matters (the paper draws the branches in parallel): the
    tokens look at the block's input, the Former updates them, the updated tokens
    steer Mobile's activations and are then written to Mobile's output. A part that
    is None is left out.

    Args:
        mobile: the convolutions, called as `mobile(x, *context)`.
        to_former: Mobile->Former bridge, at the width of the block's input.
        former: transformer block on the tokens.
        to_mobile: Mobile<-Former bridge, at the width of the block's output.
        stride: by how much `mobile` shrinks the map.
        act: what the activations want: "dynamic" the first token, "spatial" all
            tokens and the pixels' shares in them, "relu6" nothing.

    Shape: x (B, C, H, W), tokens (B, M, D) -> (B, C', H/stride, W/stride), (B, M, D).
    """

    def __init__(
        self,
        mobile: nn.Module,
        *,
        to_former: MobileToFormer | None = None,
        former: PostNormBlock | None = None,
        to_mobile: FormerToMobile | None = None,
        stride: int = 1,
        act: str = "relu6",
    ) -> None:
        super().__init__()
        self.to_former, self.former = to_former, former
        self.mobile, self.to_mobile = mobile, to_mobile
        self.stride = stride
        self.act = act

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new map and the new tokens."""
        old = tokens
        if self.to_former is not None:
            tokens = self.to_former(x, tokens)  # (B, M, D)
        if self.former is not None:
            tokens = self.former(tokens)
        y = self.mobile(x, *self.context(x, old, tokens))  # (B, C', H', W')
        if self.to_mobile is not None:
            y = self.to_mobile(y, tokens)
        return y, tokens

    def context(self, x: Tensor, old: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Collect what the activations of `mobile` take beside the map."""
        if self.act == "dynamic":
            return (tokens[:, 0],)  # (B, D)
        if self.act == "spatial" and self.to_former is not None:
            logits = self.to_former.logits(x, old)  # (B, h, M, H, W)
            size = [-(-n // self.stride) for n in x.shape[-2:]]  # rounded up
            return tokens, token_shares(logits, size)  # and (B, M, H', W')
        return ()


class Head(nn.Module):
    """Pool the last map, put the first token beside it, classify.

    Args:
        channels: width C of the last map, widened to 6C before it is pooled.
        dim: width of the token, 0 for a network without tokens.
        hidden: width F of the layer before the classes.
        num_classes: number of classes.
        groups: groups of the pointwise convolution; its input is shuffled.
        dropout: chance of dropping a hidden unit while training.

    Shape: x (B, C, H, W), tokens (B, M, D) -> (B, num_classes).
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        hidden: int,
        num_classes: int,
        *,
        groups: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        wide = 6 * channels
        self.use_token = dim > 0
        self.groups = groups
        self.widen = ConvBNAct(channels, wide, kernel=1, groups=groups)
        self.act = nn.Hardswish()
        self.hidden = nn.Sequential(
            nn.Linear(wide + dim, hidden), nn.BatchNorm1d(hidden), nn.Hardswish()
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits."""
        x = self.widen(channel_shuffle(x, self.groups))  # (B, 6C, H, W)
        pooled = self.act(x.mean(dim=(2, 3)))  # (B, 6C)
        if self.use_token:
            pooled = torch.cat([pooled, tokens[:, 0]], dim=1)  # (B, 6C + D)
        return self.classifier(self.dropout(self.hidden(pooled)))
