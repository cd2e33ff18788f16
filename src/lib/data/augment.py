"""Random views of whole batches: one affine grid, one colour matrix, no loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the gray of a colour (Rec. 601)."""

PRESETS: dict[str, dict[str, Any]] = {
    "book": {},
    "moco_v1": dict(crop=(0.2, 1.0), aspect=math.log(4 / 3), rotate=0.0, hue=0.8),
    "moco_v2": dict(
        crop=(0.2, 1.0),
        aspect=math.log(4 / 3),
        rotate=0.0,
        hue=0.2,
        colour=0.8,
        blur=0.5,
    ),
}
"""Settings by name, where they differ from the book's. Ranges and probabilities of
`moco_v1` and `moco_v2` are those of MoCo's reference code, whose hue is counted in
turns (0.4 and 0.1) and not in half turns. The operations are those of this module."""

_REACH = 6  # pixels that the blur reads on each side: three of its largest widths
_ROWS = 14  # random numbers a picture


@dataclass(frozen=True)
class BatchAugment:
    """Draw a random view of each picture: crop, turn, mirror, colours, blur.

    Geometry is one affine map a picture, read with bilinear interpolation; beyond its
    border a picture is reflected. Colours are one 3 x 3 matrix a picture. Contrast
    stretches brightness around the picture's own mean, brightness is shifted, and the
    result is cut to [0, 1]. Blur is Gaussian, 0.1 to 2 pixels wide. As many numbers
    are drawn whatever the settings, so changing one leaves the other draws alone.

    Args:
        crop: smallest and largest share of the area that a view shows.
        aspect: largest |log| of the ratio of its width to its height.
        rotate: largest angle in radians, either way.
        jitter: contrast is 1 +- this; brightness is shifted by up to 0.4 times this,
            what a factor of 1 +- this does to a picture of mean 0.4.
        hue: largest rotation around the gray axis, either way, in half turns.
        saturation: saturation is 1 +- this.
        gray: probability that a picture loses its colours.
        blur: probability that it is blurred.
        flip: whether every other picture is mirrored; digits and text must not be.
        colour: probability that contrast, brightness, hue and saturation change at all.

    Raises:
        ValueError: a setting out of its range.
    """

    crop: tuple[float, float] = (0.5, 1.0)
    aspect: float = 0.2
    rotate: float = 0.4
    jitter: float = 0.4
    hue: float = 0.1
    saturation: float = 0.4
    gray: float = 0.2
    blur: float = 0.0
    flip: bool = True
    colour: float = 1.0

    def __post_init__(self) -> None:
        _check_settings(self)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Give a random view of each picture.

        Args:
            images: `(B, 3, H, W)`, floating point in [0, 1].
            generator: source of the draws; the CPU's serves pictures on any device.

        Returns:
            A new tensor of the same shape, type and device, in [0, 1].

        Raises:
            ValueError: `images` has another shape or is not floating point.
        """
        _check_images(images)
        u = torch.rand(_ROWS, len(images), generator=generator, device=generator.device)
        u = u.to(images.device)  # from 0 to 1
        s = 2 * u - 1  # from -1 to 1
        area = self.crop[0] + (self.crop[1] - self.crop[0]) * u[0]
        turn, stretch = self.rotate * s[2], self.aspect * s[1]
        mirror = torch.where((u[5] < 0.5) & self.flip, -1.0, 1.0)
        ratio = images.shape[2] / images.shape[3]
        maps = affine_maps(area, stretch, turn, s[3:5], mirror, ratio)
        s = s * (u[10] < self.colour)  # from here on only the colours' draws are used
        saturation = (1 + self.saturation * s[9]).where(u[11] >= self.gray, 0)
        matrices = colour_matrices(self.hue * math.pi * s[8], saturation)
        contrast, shift = 1 + self.jitter * s[6], 0.4 * self.jitter * s[7]
        view = recolour(warp(images, maps), matrices, contrast, shift)
        if self.blur:
            view = gaussian_blur(view, (0.1 + 1.9 * u[13]).where(u[12] < self.blur, 0))
        return view

    @classmethod
    def preset(cls, name: str) -> BatchAugment:
        """Give the settings of a name: `"book"`, `"moco_v1"` or `"moco_v2"`.

        Raises:
            ValueError: unknown name.
        """
        if name not in PRESETS:
            raise ValueError(f"name={name!r} is unknown; allowed: {', '.join(PRESETS)}")
        return cls(**PRESETS[name])


def two_views(
    images: Tensor, augment: BatchAugment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Give two views of each picture, drawn one after the other.

    Args:
        images: `(B, 3, H, W)` in [0, 1].
        augment: draws one view of each picture.
        generator: source of both draws.

    Returns:
        Two tensors of the shape of `images`.

    Raises:
        ValueError: `augment` refuses the pictures.
    """
    return augment(images, generator), augment(images, generator)


def affine_maps(
    area: Tensor,
    log_aspect: Tensor,
    angle: Tensor,
    place: Tensor,
    mirror: Tensor,
    ratio: float,
) -> Tensor:
    """Give the maps from a view's places to those of its picture.

    Places run from -1 to 1 along each axis. A view shows a turned rectangle.

    Args:
        area: `(B,)`, its share of the picture's area.
        log_aspect: `(B,)`, log of its width over its height, both relative to the
            picture's.
        angle: `(B,)`, radians, from the x axis towards the y axis.
        place: `(2, B)`, x and y of its centre from -1 to 1: as far as the upright
            rectangle stays inside the picture.
        mirror: `(B,)`, -1 where left and right change places, else 1.
        ratio: height of the picture over its width, in pixels.

    Returns:
        `(B, 2, 3)`, as `torch.nn.functional.affine_grid` takes them.
    """
    width = (area.log() / 2 + log_aspect / 2).exp()
    height = (area.log() / 2 - log_aspect / 2).exp()
    x, y = place * (1 - torch.stack([width, height])).clamp(min=0)
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([cos * width * mirror, -sin * height * ratio, x], 1),
        torch.stack([sin * width * mirror / ratio, cos * height, y], 1),
    ]
    return torch.stack(rows, 1)


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Read each picture `(B, C, H, W)` along its affine map `(B, 2, 3)`.

    Bilinear between pixels, reflected beyond the border; same shape and type.
    """
    grid = functional.affine_grid(
        maps.to(images.dtype), list(images.shape), align_corners=False
    )
    return functional.grid_sample(
        images, grid, padding_mode="reflection", align_corners=False
    )


def colour_matrices(hue: Tensor, saturation: Tensor) -> Tensor:
    """Give the matrices that scale saturation and then rotate hue.

    Hue is turned around the gray axis (1, 1, 1), which keeps red + green + blue;
    saturation stretches a colour away from its gray, weighted by `LUMA`. Gray stays as
    it is.

    Args:
        hue: `(B,)`, radians; 2 pi / 3 turns red into green.
        saturation: `(B,)`; 0 gives gray, 1 leaves all as it is.

    Returns:
        `(B, 3, 3)`, to be multiplied by RGB columns.
    """
    eye = torch.eye(3, device=hue.device)
    # cross @ v is the vector product (1, 1, 1) / root 3 with v.
    cross = (eye.roll(-1, 0).T - eye.roll(-1, 0)) / 3**0.5
    cos, sin, scale = (
        column[:, None, None] for column in (hue.cos(), hue.sin(), saturation)
    )
    rotation = cos * eye + (1 - cos) / 3 + sin * cross
    return scale * rotation + (1 - scale) * torch.tensor(LUMA, device=hue.device)


def recolour(
    images: Tensor, matrices: Tensor, contrast: Tensor, shift: Tensor
) -> Tensor:
    """Multiply colours by a matrix, stretch them around their mean, and shift them.

    Args:
        images: `(B, 3, H, W)`; the mean is that of all numbers of a picture.
        matrices: `(B, 3, 3)`.
        contrast: `(B,)`, 1 leaves all as it is.
        shift: `(B,)`, added to all channels.

    Returns:
        `(B, 3, H, W)`, cut to [0, 1].
    """
    mean = images.mean((1, 2, 3))
    offset = ((1 - contrast) * mean + shift)[:, None, None].to(images.dtype)
    product = (contrast[:, None, None] * matrices).to(images.dtype)
    mixed = torch.baddbmm(offset, product, images.flatten(2))
    return mixed.clamp(0, 1).view(images.shape)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture with its own Gaussian, one grouped convolution an axis.

    Args:
        images: `(B, C, H, W)`; reflected beyond the border, its own row not repeated.
        sigma: `(B,)`, standard deviation in pixels, up to 2: the kernel reaches 6
            pixels to each side. 0 leaves a picture as it is.

    Returns:
        A tensor of the same shape and type.
    """
    batch, channels, height, width = images.shape
    for axis, side in ((2, height), (3, width)):
        reach = min(_REACH, side - 1)  # a small picture cannot be reflected further
        place = torch.arange(-reach, reach + 1, device=images.device)
        kernel = (-0.5 * (place / sigma[:, None].clamp(min=1e-3)) ** 2).exp()
        kernel = (kernel / kernel.sum(1, keepdim=True)).to(images.dtype)
        kernel = kernel.repeat_interleave(channels, 0)  # one a picture and channel
        padding = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        shape = (-1, 1, 2 * reach + 1, 1) if axis == 2 else (-1, 1, 1, 2 * reach + 1)
        rows = functional.pad(images, padding, mode="reflect")
        rows = rows.reshape(1, batch * channels, *rows.shape[2:])
        images = functional.conv2d(rows, kernel.view(shape), groups=batch * channels)
        images = images.view(batch, channels, height, width)
    return images


def _check_settings(augment: BatchAugment) -> None:
    """Refuse a setting out of its range."""
    crop = augment.crop
    if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
        raise ValueError(f"crop={crop} must be two shares, 0 < smaller <= larger <= 1")
    for name in ("jitter", "hue", "saturation", "gray", "blur", "colour"):
        value = getattr(augment, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} must be from 0 to 1")
    for name in ("aspect", "rotate"):
        value = getattr(augment, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}={value} must be a number that is 0 or more")


def _check_images(images: Tensor) -> None:
    """Refuse what is no batch of RGB pictures."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise ValueError(
            f"images of shape {tuple(images.shape)} must be (B, 3, H, W), none 0"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images of type {images.dtype} must be floating point, from 0 to 1"
        )
