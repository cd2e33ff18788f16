"""World 4, two domains of shapes: enamel signs and ink on ruled paper.

Data card: two-domain shapes
----------------------------
*What.* A picture shows one shape, filled with one texture, on a ground. The class is
the pair of shape and texture. The domain `"enamel"` has 4 shapes x 3 textures = 12
classes in bright colours on a dark, graded ground; `"ink"` has 5 shapes x 2 textures =
10 classes in dark colours on pale ruled paper with twice the noise. The domains share
no shape, no texture and no class. What was learned on one can help on the other only
through features that serve both: the world is made for few-label transfer. Both have a
shape of three and one of four lobes, shallow ones on enamel and deep ones in ink.

*Formulas.* X runs to the right and Y down, each from -1 to 1 across the picture. An
object has its own axes u, v: shifted to `centre`, turned by `angle`, divided by
`radius`. Its outline in polar coordinates is (1 + A cos(k t) - A/2) times the radius of
an ellipse in direction t, with the numbers of `SHAPES`. The edge is
logistic(2 d), d the distance to the outline in pixels along the ray from the centre.
`TEXTURES` gives a wave w(u, v, phase); logistic(6 w) mixes the first colour with the
second. The ground is multiplied by 1 + 0.15 Y (enamel), or by
1 + 0.10 sin(7 X + ruling) (ink).

*Drawn afresh for each picture.* Class, centre (+-0.2 of half the width), radius (0.6 to
0.8 of it), angle (+-0.45), phase (0 to 1.5), ruling, and three colours close to those
of the domain.

*Made from.* Random numbers only; no pictures, no persons.

*Exact by construction.* Class, shape, texture, and everything that the columns name.

*Not in it.* Several objects, occlusion, perspective, free colours, free orientation.
That is on purpose: a few hundred steps of contrastive learning find the cues that are
easiest, and where colours or backgrounds differ freely from picture to picture they
find those instead of the shapes. Gains here say nothing about photographs.

*Same everywhere.* Drawn with NumPy's PCG64 in float64, rounded to 1e-6 before uint8,
in blocks with seeds of their own: the first rows of a longer data set are the shorter
one. `lib.data.column_hash` is pinned in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset

SIDE = 32
"""Height and width of a picture in pixels."""

SPLITS = ("train", "test")

SHAPES: dict[str, dict[str, tuple[int, float, float, float]]] = {
    "enamel": {
        "disc": (0, 0.0, 1.0, 1.0),
        "trefoil": (3, 0.22, 1.0, 1.0),
        "quatrefoil": (4, 0.20, 1.0, 1.0),
        "star": (5, 0.28, 1.0, 1.0),
    },
    "ink": {
        "ellipse": (0, 0.0, 1.2, 1.2 / 1.9),
        "peanut": (2, 0.38, 1.0, 1.0),
        "flower": (6, 0.30, 1.0, 1.0),
        "propeller": (3, 0.42, 1.0, 1.0),
        "cross": (4, 0.40, 1.0, 1.0),
    },
}
"""Shapes of a domain: lobes k, amplitude A, and the half axes of the ellipse."""

TEXTURES: dict[str, dict[str, Callable[..., np.ndarray]]] = {
    "enamel": {
        "solid": lambda u, v, phase: np.full(u.shape, np.inf),
        "stripes": lambda u, v, phase: np.sin(8 * u + phase),
        "checker": lambda u, v, phase: np.sin(8 * u + phase) * np.sin(8 * v + phase),
    },
    "ink": {
        "rings": lambda u, v, phase: np.sin(8 * np.hypot(u, v) + phase),
        "waves": lambda u, v, phase: np.sin(
            6 * (u + v) + 2.2 * np.sin(4 * (u - v)) + phase
        ),
    },
}
"""Textures of a domain: the wave w(u, v, phase); solid is wholly the first colour."""

COLOURS = {
    "enamel": np.array([[0.95, 0.75, 0.25], [0.75, 0.20, 0.20], [0.15, 0.25, 0.45]]),
    "ink": np.array([[0.15, 0.20, 0.35], [0.55, 0.60, 0.65], [0.90, 0.87, 0.78]]),
}
"""Mean RGB of a domain: first colour, second colour, ground."""

SPREAD = {"enamel": np.array([0.06, 0.06, 0.06]), "ink": np.array([0.06, 0.06, 0.04])}
"""Standard deviation of each colour, once a channel and once for all three."""

NOISE = {"enamel": 0.04, "ink": 0.08}
"""Standard deviation of the pixel noise, in units of the brightness range."""

_BLOCK = 256  # pictures drawn at a time: bounds the memory, fixed for good


def two_domain_shapes(
    n: int,
    seed: int,
    *,
    domain: str = "enamel",
    split: str = "train",
    noise: float | None = None,
) -> Dataset:
    """Draw textured shapes of one domain; the class is the pair of both.

    Args:
        n: number of pictures, at least 1.
        seed: 0 or more. Different splits and domains never share draws.
        domain: `"enamel"` (12 classes, the source) or `"ink"` (10, the target).
        split: `"train"` or `"test"`.
        noise: standard deviation of the pixel noise; by default that of the domain,
            see `NOISE`.

    Returns:
        One row a picture:

        - `image`: uint8 `(32, 32, 3)`, RGB
        - `label`: shape x number of textures + texture, see `class_names`
        - `shape`, `texture`: numbers in `SHAPES[domain]`, `TEXTURES[domain]`
        - `centre`: float64 `(2,)`, x and y from -1 (left, top) to 1
        - `radius`: float64, in halves of the picture's width
        - `angle`: float64, radians, from the x axis towards the y axis (clockwise)
        - `phase`: float64, radians, of the texture
        - `ruling`: float64, radians, of the paper's ruling; enamel does not show it
        - `colours`: float64 `(3, 3)`, RGB of first colour, second colour and ground

    Raises:
        ValueError: an argument outside the range named above.
    """
    from datasets import Array2D, Array3D, ClassLabel, Features, Sequence, Value

    check_request(n, seed, split)
    if domain not in SHAPES:
        raise ValueError(f"domain={domain!r} is unknown; allowed: {', '.join(SHAPES)}")
    noise = NOISE[domain] if noise is None else noise
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise} must be a number that is 0 or more")
    tag = [seed, list(SHAPES).index(domain), SPLITS.index(split)]
    blocks = [
        _block(np.random.Generator(np.random.PCG64([*tag, b])), domain, noise)
        for b in range(-(-n // _BLOCK))
    ]
    number = Value("float64")
    features = Features(
        {
            "image": Array3D((SIDE, SIDE, 3), "uint8"),
            "label": ClassLabel(names=class_names(domain)),
            "shape": ClassLabel(names=list(SHAPES[domain])),
            "texture": ClassLabel(names=list(TEXTURES[domain])),
            "centre": Sequence(number, length=2),
            "radius": number,
            "angle": number,
            "phase": number,
            "ruling": number,
            "colours": Array2D((3, 3), "float64"),
        }
    )
    return from_arrays(
        {
            name: np.concatenate([block[name] for block in blocks])[:n]
            for name in features
        },
        features,
    )


def class_names(domain: str) -> list[str]:
    """Name the classes of a domain, by label: `"disc, solid"`, `"disc, stripes"`, ...

    Raises:
        ValueError: unknown domain.
    """
    if domain not in SHAPES:
        raise ValueError(f"domain={domain!r} is unknown; allowed: {', '.join(SHAPES)}")
    return [f"{s}, {t}" for s in SHAPES[domain] for t in TEXTURES[domain]]


def check_request(n: int, seed: int, split: str) -> None:
    """Refuse a number of rows, a seed or a split that the domains do not have.

    Raises:
        ValueError: n below 1, seed below 0, or another split than train and test.
    """
    for name, value, low in (("n", n, 1), ("seed", seed, 0)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < low:
            raise ValueError(f"{name}={value!r} must be a whole number from {low} on")
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; allowed: 'train', 'test'")


def draw_placement(rng: np.random.Generator, n: int, domain: str) -> dict:
    """Draw place, size, turn, ruling and colours of n pictures of a domain.

    Returns:
        float64 arrays `centre` `(n, 2)`, `radius`, `angle`, `ruling` `(n,)` and
        `colours` `(n, 3, 3)`, in the units of `two_domain_shapes`.
    """
    placement = {
        "centre": 0.4 * rng.random((n, 2)) - 0.2,
        "radius": 0.6 + 0.2 * rng.random(n),
        "angle": 0.9 * rng.random(n) - 0.45,
        "ruling": 2 * np.pi * rng.random(n),
    }
    shift = rng.standard_normal((n, 3, 3)) + rng.standard_normal((n, 3, 1))
    placement["colours"] = COLOURS[domain] + SPREAD[domain][:, None] * shift
    return placement


def object_axes(placement: dict) -> tuple[np.ndarray, np.ndarray]:
    """Give every pixel's place in the object's own axes, u and v, each (n, 32, 32)."""
    place = (2 * np.arange(SIDE) + 1) / SIDE - 1
    x = place - placement["centre"][:, 0, None, None]
    y = place[:, None] - placement["centre"][:, 1, None, None]
    cos, sin = (
        (turn(placement["angle"]) / placement["radius"])[:, None, None]
        for turn in (np.cos, np.sin)
    )
    return cos * x + sin * y, cos * y - sin * x


def draw_ground(placement: dict, domain: str) -> np.ndarray:
    """Paint the ground of each picture: RGB (n, 1 or 32, 1 or 32, 3), no noise yet."""
    place = (2 * np.arange(SIDE) + 1) / SIDE - 1
    if domain == "enamel":
        light = np.broadcast_to(
            (1 + 0.15 * place)[:, None], (len(placement["ruling"]), SIDE, 1)
        )
    else:
        light = 1 + 0.10 * np.sin(7 * place + placement["ruling"][:, None, None])
    return light[..., None] * placement["colours"][:, 2, None, None]


def quantise(picture: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Add pixel noise and round to uint8, so that all machines agree."""
    picture = picture + noise * rng.standard_normal(picture.shape)
    return np.rint(picture.clip(0, 1).round(6) * 255).astype(np.uint8)


def _block(rng: np.random.Generator, domain: str, noise: float) -> dict:
    """Draw one block of pictures."""
    shapes, textures = SHAPES[domain], TEXTURES[domain]
    label = np.floor(rng.random(_BLOCK) * len(shapes) * len(textures)).astype(np.int64)
    shape, texture = np.divmod(label, len(textures))
    phase = 1.5 * rng.random(_BLOCK)
    placement = draw_placement(rng, _BLOCK, domain)
    u, v = object_axes(placement)

    lobes, amplitude, across, down = (
        column[:, None, None] for column in np.array(list(shapes.values()))[shape].T
    )
    t = np.arctan2(v, u)
    outline = 1 + amplitude * np.cos(lobes * t) - amplitude / 2
    outline /= np.hypot(np.cos(t) / across, np.sin(t) / down)
    pixels = SIDE / 2 * placement["radius"][:, None, None]
    inside = _logistic(2 * pixels * (outline - np.hypot(u, v)))[..., None]

    first = np.empty_like(u)  # share of the first colour
    for i, wave in enumerate(textures.values()):
        own = texture == i
        first[own] = _logistic(6 * wave(u[own], v[own], phase[own, None, None]))
    one, two = (placement["colours"][:, i, None, None] for i in range(2))
    paint = two + first[..., None] * (one - two)
    ground = draw_ground(placement, domain)
    return {
        "image": quantise(ground + inside * (paint - ground), noise, rng),
        "label": label,
        "shape": shape,
        "texture": texture,
        "phase": phase,
        **placement,
    }


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
