"""The book's colours: one source for the pages and for the figures.

The site writes its style sheet from `css_variables`; matplotlib gets the same values
through `lib.figures.style`.
"""

from collections.abc import Mapping, Sequence

PALETTE: dict[str, dict[str, str]] = {
    "light": {
        "paper": "#fbfaf6",  # the page
        "surface": "#ffffff",  # cards and figures
        "ink": "#1c2430",
        "muted": "#5b6472",
        "line": "#dcd8cc",
        "accent": "#1d5c99",  # blueprint blue
    },
    "dark": {
        "paper": "#12161d",
        "surface": "#1a2029",
        "ink": "#e8e4da",
        "muted": "#a8b0bd",
        "line": "#323a47",
        "accent": "#7db4e8",
    },
}

SERIES_NAMES: list[str] = ["blue", "orange", "teal", "plum", "gold", "sky", "grey"]
# Far enough apart for red-blind and green-blind readers (CIELAB distance of at least
# 12 for every pair), at least 3:1 against white, and each carries white or ink text.
SERIES: list[str] = [
    "#1d5c99",
    "#b54a12",
    "#0f755c",
    "#792c6d",
    "#bd8a14",
    "#4299d1",
    "#6d7681",
]


def _block(selector: str, colours: dict[str, str]) -> str:
    lines = [f"  --pb-{name}: {value};" for name, value in colours.items()]
    return "\n".join([f"{selector} {{", *lines, "}"])


def css_variables() -> str:
    """Return the palette as CSS custom properties, `--pb-ink` and so on.

    `:root` holds the light page and the series (`--pb-series-1` ...);
    `html[data-theme="dark"]` holds what the dark page changes.
    """
    series = {f"series-{i}": value for i, value in enumerate(SERIES, start=1)}
    light = _block(":root", PALETTE["light"] | series)
    dark = _block('html[data-theme="dark"]', PALETTE["dark"])
    return f"{light}\n{dark}\n"


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.1) of a colour such as `#1d5c99`, 0 to 1.

    Raises:
        ValueError: `colour` is not `#` and six hexadecimal digits.
    """
    digits = colour.removeprefix("#")
    try:
        if len(digits) != 6 or not colour.startswith("#"):
            raise ValueError
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    except ValueError:
        raise ValueError(
            f"colour={colour!r} must be '#' followed by six hexadecimal digits"
        ) from None
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Return the WCAG 2.1 contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def text_on(background: str) -> str:
    """Return white or ink, whichever reads better on `background`."""
    choices = (PALETTE["light"]["surface"], PALETTE["light"]["ink"])
    return max(choices, key=lambda colour: contrast(colour, background))


def part_colours(
    parts: Sequence[str], colours: Mapping[str, str] | None = None
) -> list[str]:
    """Return one colour for each part of a whole.

    Args:
        parts: 1 to 7 names.
        colours: name -> colour for those that should keep one; the others take the
            series colours that are left, in order.

    Raises:
        ValueError: no parts, or more than there are series colours.
    """
    if not 1 <= len(parts) <= len(SERIES):
        raise ValueError(
            f"parts has {len(parts)} names; allowed are 1 to {len(SERIES)}"
        )
    fixed = {part: colours[part] for part in parts if colours and part in colours}
    left = iter([colour for colour in SERIES if colour not in fixed.values()])
    return [fixed[part] if part in fixed else next(left) for part in parts]
