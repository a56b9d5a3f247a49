"""The measured rows as a picture: speed over the reference, the floor, Langevin steps, boxes of water."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.peers import FOR_SCALE, REFERENCE
from ffpt_core.base.figures import save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, PEER, FLOOR_COLOUR, TARGET = "#0072b2", "#8c8c8c", "#e69f00", "#d55e00"
_MARKERS = {REFERENCE: "s", "MACE": "^", "TensorNet": "v"}
_SHORT = {
    "aspirin": "aspirin",
    "ho2": "HO$_2$",
    "water": "waters",
    "training-aspirin": "training, aspirin",
    "training-combustion": "training, combustion",
    "replicas": "replicas over single runs",
}


@styled
def draw(report: dict[str, Any], device: str, path: str | os.PathLike[str]) -> None:
    """Write the picture of one device's rows; panels without rows say so.

    Args:
        report: as speed.json has it.
        device: "cpu" or "cuda".
        path: PNG, SVG or PDF.
    """
    from matplotlib.figure import Figure

    rows, machine = report["rows"][device], report["machine"][device]
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    axes = figure.subplot_mosaic("AAB;AAC;DEF", height_ratios=[1, 1, 1.1])
    where = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} thread(s)"
    figure.suptitle(
        f"ffpt {machine['ffpt']}, float32, {where}, {machine['date'][:10]}; medians, bars from 16 to 84 % of rounds",
        fontsize=10,
    )
    _speed_ups(axes["A"], rows)
    _floor(axes["B"], rows)
    _times(axes["C"], rows)
    _langevin(axes["D"], rows)
    _boxes(axes["E"], rows, "seconds_per_atom", 1e6, "cost per atom, µs")
    _boxes(axes["F"], rows, "bytes_per_atom", 1e-3, "peak memory per atom, kB")
    axes["E"].set_title("Boxes of water: cost of an evaluation", loc="left")
    axes["F"].set_title("Boxes of water: memory", loc="left")
    save_figure(figure, path)


def _bars(spread: dict[str, float], scale: float = 1.0) -> tuple[float, list[list[float]]]:
    """Median, and lengths of the bars below and above it."""
    median = spread["median"]
    return scale * median, [[scale * (median - spread["low"])], [scale * (spread["high"] - median)]]


def _label(key: str, row: dict[str, Any]) -> str:
    return f"{row['details']['n_atoms'] // 3} waters" if key == "water" else _SHORT[key]


def _empty(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=PEER)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)


def _speed_ups(axes: Axes, rows: dict[str, Any]) -> None:
    """Every case of the rows that count times faster, the fastest of ours in full colour with its number."""
    axes.set_title("Times faster than the reference NewtonNet", loc="left")
    shown = [key for key in _SHORT if any("ratio" in entry for entry in rows.get(key, {}).get("cases", {}).values())]
    if not shown:
        _empty(axes, "the reference NewtonNet is not installed")
        return
    labelled: dict[str, Any] = {}
    for position, key in enumerate(reversed(shown)):
        row = rows[key]
        ratios = {name: entry["ratio"] for name, entry in row["cases"].items() if "ratio" in entry}
        ours = {name: ratio for name, ratio in ratios.items() if not name.startswith(tuple(_MARKERS))}
        best = min(ours, key=lambda name: row["cases"][name]["seconds"]["median"])
        for name, ratio in ratios.items():
            peer = next((peer for peer in _MARKERS if name == peer), None)
            if peer is None and name not in ours:
                continue  # the reference in another way
            value, error = _bars(ratio)
            label = peer or ("ffpt, fastest" if name == best else "ffpt, other ways")
            drawn = axes.errorbar(
                value,
                position,
                xerr=error,
                fmt=_MARKERS.get(label, "o"),
                color=PEER if peer else OURS,
                alpha=1.0 if peer or name == best else 0.35,
                markersize=8 if name == best else 5,
                capsize=2,
                zorder=3 if name == best else 2,
            )
            labelled.setdefault(label, drawn)
        value = ours[best]["median"]
        what = best.removeprefix("ffpt, ")
        axes.annotate(f"{value:.1f}x  {what}", (value, position), (0, 9), textcoords="offset points", ha="center")
        for name, mark in (("reach", "|"), ("goal", "D")):
            if row[name]:
                label = {"reach": "to reach", "goal": "goal beyond"}[name]
                (line,) = axes.plot(row[name], position, mark, color=TARGET, ms=16 if mark == "|" else 5, mew=2)
                labelled.setdefault(label, line)
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xscale("log")
    _plain_ticks(axes, (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 6, 10, 20))
    axes.set_yticks(range(len(shown)), [_label(key, rows[key]) for key in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.3)
    axes.set_xlabel("time of the reference / time")
    order = [
        name for name in ("ffpt, fastest", "ffpt, other ways", *_MARKERS, "to reach", "goal beyond") if name in labelled
    ]
    axes.legend([labelled[name] for name in order], order, loc="lower left", ncols=1)


def _plain_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator

    low, high = axes.get_xlim()
    inside = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(inside, [f"{tick:g}" for tick in inside])
    axes.xaxis.set_minor_locator(NullLocator())


def _fastest(row: dict[str, Any]) -> str:
    ours = {name: entry for name, entry in row["cases"].items() if name.startswith("ffpt")}
    return min(ours, key=lambda name: ours[name]["seconds"]["median"])


def _evaluation_rows(axes: Axes, rows: dict[str, Any]) -> list[str]:
    """The rows of single evaluations, side by side along x; an empty panel says that there are none."""
    shown = [key for key in ("aspirin", "ho2", "water") if key in rows]
    if shown:
        axes.set_xticks(range(len(shown)), [_label(key, rows[key]) for key in shown])
    else:
        _empty(axes, "no evaluation row")
    return shown


def _floor(axes: Axes, rows: dict[str, Any]) -> None:
    """Share of the floor of our fastest and of the reference."""
    axes.set_title("Share of the matrix-product floor", loc="left")
    shown = _evaluation_rows(axes, rows)
    if not shown:
        return
    width = 0.38
    for offset, kind, alpha in ((-width / 2, "stated", 0.4), (width / 2, "rearranged", 1.0)):
        for position, key in enumerate(shown):
            cases = rows[key]["cases"]
            value, error = _bars(cases[_fastest(rows[key])]["share_of_floor"][kind], 100)
            label = f"ffpt, {kind}" if position == 0 else None
            axes.bar(position + offset, value, width, yerr=error, color=OURS, alpha=alpha, label=label, capsize=2)
            if REFERENCE in cases:
                value, _ = _bars(cases[REFERENCE]["share_of_floor"][kind], 100)
                label = "reference" if position == 0 and kind == "stated" else None
                axes.plot(position + offset, value, _MARKERS[REFERENCE], color="black", ms=4, label=label)
    axes.set_ylabel("floor / time, %")
    axes.axhline(100, color=TARGET, lw=1.2, ls="--")
    axes.set_ylim(0, 1.3 * max(100, axes.get_ylim()[1]))
    axes.legend(fontsize=7, loc="upper right", ncols=3, columnspacing=0.8, handletextpad=0.4)


def _times(axes: Axes, rows: dict[str, Any]) -> None:
    """Milliseconds of an evaluation by our fastest, the peers (markers as in the large panel) and the floor."""
    axes.set_title("Energy + forces: time (markers: left panel)", loc="left")
    shown = _evaluation_rows(axes, rows)
    if not shown:
        return
    for position, key in enumerate(shown):
        cases = rows[key]["cases"]
        floor = rows[key]["details"]["floor"]["rearranged"]["seconds"]
        label = "floor, equations rearranged" if position == 0 else None
        axes.plot(position, 1e3 * floor, "_", color=FLOOR_COLOUR, ms=18, mew=2.5, label=label)
        for name in (_fastest(rows[key]), REFERENCE, *FOR_SCALE):
            if name in cases:
                value, error = _bars(cases[name]["seconds"], 1e3)
                axes.errorbar(
                    position,
                    value,
                    yerr=error,
                    fmt=_MARKERS.get(name, "o"),
                    color=OURS if name.startswith("ffpt") else PEER,
                    capsize=2,
                )
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.legend(fontsize=7, loc="upper left")


def _langevin(axes: Axes, rows: dict[str, Any]) -> None:
    """A step over a bare evaluation, by backend and platform."""
    axes.set_title("Langevin step in OpenMM", loc="left")
    shown = [key for key in ("langevin-aspirin", "langevin-water") if rows.get(key, {}).get("cases")]
    if not shown:
        _empty(axes, "no Langevin row")
        return
    names = [name for name, entry in rows[shown[0]]["cases"].items() if "ratio" in entry][::-1]
    for offset, key, marker, colour in zip((0.12, -0.12), shown, "os", (OURS, FLOOR_COLOUR), strict=False):
        for position, name in enumerate(names):
            if name in rows[key]["cases"]:
                value, error = _bars(rows[key]["cases"][name]["ratio"])
                label = key.removeprefix("langevin-") if position == 0 else None
                axes.errorbar(value, position + offset, xerr=error, fmt=marker, color=colour, capsize=2, label=label)
    axes.axvline(1.0, color="black", lw=0.8)
    if (reach := rows[shown[0]]["reach"]) is not None:
        axes.axvline(reach, color=TARGET, lw=1.2, ls="--", label=f"to reach: at most {reach:.2f}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.5, len(names) + 0.4)
    axes.set_xlabel("time of a step / time of the bare evaluation")
    axes.legend(
        fontsize=7, loc="upper right", ncols=3, columnspacing=0.8, handletextpad=0.3, frameon=True, framealpha=1.0
    )


def _boxes(axes: Axes, rows: dict[str, Any], quantity: str, scale: float, label: str) -> None:
    cases = rows.get("boxes", {}).get("cases", {})
    if not cases:
        _empty(axes, "no box row")
        return
    sizes = [entry["n_atoms"] // 3 for entry in cases.values()]
    values = [entry[quantity] for entry in cases.values()]
    if quantity == "bytes_per_atom":
        axes.plot(sizes, [scale * value for value in values], "o-", color=OURS)
    else:
        for size, value in zip(sizes, values, strict=True):
            median, error = _bars(value, scale)
            axes.errorbar(size, median, yerr=error, fmt="o", color=OURS, capsize=2)
        medians = [scale * value["median"] for value in values]
        axes.plot(sizes, medians, "-", color=OURS)
        axes.axhspan(min(medians), 1.3 * min(medians), color=TARGET, alpha=0.12, label="within 1.3x of the cheapest")
        axes.legend(fontsize=7)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_xlabel("water molecules")
    axes.set_ylabel(label)
