"""One look for all pictures: sizes, fonts, and the same colour for the same model in every figure."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
}

# Colours of Okabe and Ito (2008), which stay apart for colour-blind readers.
REFERENCE = "#000000"
_ROLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("scratch",), "#d55e00"),
    (("fine-tuned", "finetuned", "fine_tuned", "fine tuned"), "#009e73"),
    (("pre-trained", "pretrained", "pre_trained", "pre-training"), "#56b4e9"),
    (("teacher", "gaff", "tip3p"), "#8c8c8c"),
)
_CYCLE = ("#0072b2", "#cc79a7", "#e69f00", "#7a5195", "#4b6a88", "#a6761d", "#d55e00", "#009e73", "#56b4e9")


def colours(labels: Iterable[str], reference: str | None = None) -> dict[str, str]:
    """A colour for each label: black for the reference, fixed ones for the parts that models play.

    A label that says "from scratch", "pre-trained", "fine-tuned" or "teacher" has the same colour in all
    pictures, in whatever order it comes; other labels take the colours that are left.
    """
    labels = list(labels)
    chosen: dict[str, str] = {}
    for label in labels:
        role = next((colour for words, colour in _ROLES if any(word in label.lower() for word in words)), None)
        if label == reference:
            chosen[label] = REFERENCE
        elif role is not None and role not in chosen.values():
            chosen[label] = role
    left = [colour for colour in _CYCLE if colour not in chosen.values()]
    for position, label in enumerate(label for label in labels if label not in chosen):
        chosen[label] = left[position % len(left)]
    return chosen


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator: draw runs under this style, and matplotlib's own settings stay as they were."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


@styled
def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 3.6, height: float = 2.7, **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """A Figure without pyplot's global state, with rows x columns axes (as a flat list).

    Args:
        rows: of axes.
        columns: of axes.
        width: of one axes, in inches.
        height: of one axes, in inches.
        subplots: further keywords of Figure.subplots (sharex, sharey, ...).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **subplots).flat)


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend over all axes, in as many columns as fit the width of the figure."""
    # About 0.075 inches a letter at this font size, and half an inch for each line or marker.
    widest = max(0.55 + 0.075 * len(label) for label in labels)
    columns = max(1, min(len(labels), int(figure.get_figwidth() / widest)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a picture (PNG, SVG, PDF by its suffix), atomically.

    Raises:
        FfptError: the folder cannot be written to, or the suffix is none that matplotlib knows.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if suffix not in figure.canvas.get_supported_filetypes():
        raise FfptError(f"cannot write {path}: pictures end in .png, .svg or .pdf")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix)
