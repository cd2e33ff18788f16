"""Real pictures by Hub id or from a local folder or file in the Hub's schema."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import huggingface_hub
import numpy as np

from lib.data.columns import column
from lib.data.tensors import open_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets import Dataset

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")
WAY_ON = 'set DATA = "world", or DATA to a local folder with the same columns'

_TIMEOUT = 3  # seconds to wait for the Hub before it counts as out of reach


def load_pictures(
    data: str | Path,
    split: str = "train",
    *,
    config: str | None = None,
    image: str | None = None,
    label: str | None = None,
    classes: int | None = None,
    limit: int | None = None,
    streaming: bool = False,
) -> Dataset:
    """Load labelled pictures through `datasets`, with plain words when it fails.

    Args:
        data: a Hub id such as `"uoft-cs/cifar10"`, or a local `.parquet` file (or a
            pattern such as `"train-*.parquet"`), or a local folder: parquet files
            named by split, or pictures in one folder a class.
        split: `"train"`, `"test"`, or any other that the data set has.
        config: name of the configuration, where the Hub's data set has several.
        image: name of the column of pictures; by default `image` or `img`.
        label: name of the column of labels; by default `label`, `labels` or
            `fine_label`.
        classes: number of classes that labels must stay below; by default what the
            label column itself declares.
        limit: keep only the first so many rows.
        streaming: fetch only the rows that `limit` asks for.

    Returns:
        Columns `image` (`datasets.Image`) and `label` (whole numbers from 0; class
        names where the source has them). `to_tensors` gives both as tensors.

    Raises:
        ValueError: unknown path, id or split, no such column, no rows, labels out of
            range, or a first picture that cannot be read. (`to_tensors` reads, and
            so checks, every picture.)
        ConnectionError: the Hub cannot be reached and no copy is on this machine.
    """
    from datasets import Image

    if data == "world":
        raise ValueError(
            "data='world' names no pictures: it stands for the chapter's own world, "
            "made by lib.data.worlds"
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit} must be 1 or more")
    if streaming and limit is None:
        raise ValueError("streaming=True needs limit=…, the number of rows to fetch")

    rows = _load(data, split, config, limit if streaming else None)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    if not len(rows):
        raise ValueError(_no_rows(data, split))
    image = _find("image", image, IMAGE_NAMES, rows, data)
    label = _find("label", label, LABEL_NAMES, rows, data)
    rows = rows.select_columns([image, label])
    rows = rows.rename_columns({image: "image", label: "label"})
    _check_labels(rows, label, classes, data)
    _check_first_picture(rows, image, data)
    return rows.cast_column("image", Image())


def _load(
    data: str | Path, split: str, config: str | None, stream: int | None
) -> Dataset:
    """Find out what `data` is and hand it to `datasets`."""
    import datasets

    path = Path(data).expanduser()
    options: dict[str, Any] = {"split": split, "streaming": stream is not None}
    source: list[str | None] = [str(path)]
    on_hub = False
    if path.suffix == ".parquet":
        if not list(path.parent.glob(path.name)):
            raise ValueError(f"data={str(data)!r}: there is no such file")
        source, options["data_files"] = ["parquet"], {split: str(path)}
    elif not path.is_dir():
        if path.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(data)):
            raise ValueError(
                f"data={str(data)!r} is no folder and no .parquet file on this "
                "machine, and a Hub id has the form 'owner/name'"
            )
        source, on_hub = [str(data), config], True

    with ExitStack() as around:
        if os.environ.get("PAPERS_BUILT_QUIET"):
            around.enter_context(_no_bars())
        if on_hub and not _hub_answers(str(data)):
            for module in (datasets.config, huggingface_hub.constants):
                around.enter_context(mock.patch.object(module, "HF_HUB_OFFLINE", True))
        try:
            loaded = datasets.load_dataset(*source, **options)
            if stream is None:
                return loaded
            encoded = _keep_encoded(loaded)
            rows = list(encoded.take(stream))
            return datasets.Dataset.from_list(rows, features=encoded.features)
        except (ConnectionError, huggingface_hub.errors.OfflineModeIsEnabled) as error:
            raise ConnectionError(
                f"data={str(data)!r}: the Hub cannot be reached, and no copy is on "
                f"this machine; to go on without a network, {WAY_ON}"
            ) from error
        except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
            if "corresponds to no data" in str(error):
                raise ValueError(_no_rows(data, split)) from error
            raise ValueError(
                f"data={str(data)!r}, split={split!r} cannot be loaded: "
                f"{_first_sentence(error)}"
            ) from error


def _no_rows(data: str | Path, split: str) -> str:
    return f"data={str(data)!r}, split={split!r} has no rows"


def _hub_answers(name: str) -> bool:
    """Ask the Hub once, with a short limit; `datasets` tries for half a minute.

    Raises:
        ValueError: the Hub answers that it does not have, or give, this data set.
    """
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=_TIMEOUT)
    except (huggingface_hub.errors.HfHubHTTPError, ValueError) as error:
        raise ValueError(
            f"data={name!r} is no folder on this machine, and the Hub does not give "
            f"it: {_first_sentence(error)}"
        ) from error
    except Exception:  # each version of the client has its own kinds for "no network"
        return False
    return True


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep progress bars out of stored notebook outputs."""
    import datasets

    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            datasets.enable_progress_bars()


def _find(
    argument: str,
    name: str | None,
    usual: tuple[str, ...],
    rows: Dataset,
    data: str | Path,
) -> str:
    """Find the column that is meant, or say which there are."""
    for candidate in usual if name is None else (name,):
        if candidate in rows.column_names:
            return candidate
    wanted = " or ".join(map(repr, usual)) if name is None else repr(name)
    raise ValueError(
        f"data={str(data)!r} has no column {wanted}, only "
        f"{', '.join(map(repr, rows.column_names))}; name the right one with "
        f"{argument}=…"
    )


def _keep_encoded(rows: Any) -> Any:
    """Leave pictures as the bytes they came in."""
    from datasets import Image

    for name, kind in rows.features.items():
        if isinstance(kind, Image):
            rows = rows.cast_column(name, Image(decode=False))
    return rows


def _check_labels(
    rows: Dataset, name: str, classes: int | None, data: str | Path
) -> None:
    """Refuse labels that are no whole numbers from 0 to the number of classes - 1."""
    declared = getattr(rows.features["label"], "num_classes", None)
    classes = declared if classes is None else classes
    try:
        labels = column(rows, "label")
    except ValueError as error:
        raise ValueError(f"data={str(data)!r}: {error}") from error
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"data={str(data)!r}: column {name!r} holds {labels.dtype} of shape "
            f"{labels.shape[1:]}; labels must be single whole numbers"
        )
    wrong = (labels < 0) | (labels >= (np.inf if classes is None else classes))
    if wrong.any():
        row = int(wrong.argmax())
        allowed = "0 or more" if classes is None else f"from 0 to {classes - 1}"
        raise ValueError(
            f"data={str(data)!r}: the label in row {row} of column {name!r} is "
            f"{labels[row]}; labels must be {allowed}"
        )


def _check_first_picture(rows: Dataset, name: str, data: str | Path) -> None:
    """Refuse a column that holds no pictures before anyone waits for all of them."""
    from datasets import Image

    kind = rows.features["image"]
    if not isinstance(kind, Image) and set(getattr(kind, "keys", set)()) != {
        "bytes",
        "path",
    }:
        raise ValueError(
            f"data={str(data)!r}: column {name!r} holds {kind}; pictures must be "
            "stored as the Hub does, as datasets.Image"
        )
    first = rows.select(range(1)).cast_column("image", Image(decode=False))[0]
    try:
        open_picture(first["image"], 0)
    except ValueError as error:
        raise ValueError(f"data={str(data)!r}: {error}") from error


def _first_sentence(error: Exception) -> str:
    """Shorten a library's message to its first sentence on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.split(r"(?<=[a-z\])\"'])\. ", text)[0].rstrip(".")
