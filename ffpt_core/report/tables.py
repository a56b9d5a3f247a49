"""Tables of a report from the JSON files that the verbs write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ffpt_core.base.results import (
    Cell,
    Table,
    decimals,
    duration,
    milli,
    percent,
    with_sign_of_angstrom,
)


def training_table(results: Mapping[str, Mapping[str, Any]], caption: str = "") -> Table:
    """Error, data and time of each potential.

    Args:
        results: the result.json of ``ffpt train`` by the label of the potential.
        caption: None of the numbers' conditions but what they are measured on: "On 1,150 GFN2-xTB frames."
    """
    rows: list[list[Cell]] = []
    for label, result in results.items():
        errors = result.get("test") or result.get("validation") or {}
        seconds = result.get("training_seconds")
        rows.append(
            [
                label,
                milli(errors.get("energy_mae")),
                milli(errors.get("force_mae")),
                result.get("train_frames"),
                result.get("epochs"),
                None if seconds is None else duration(seconds),
            ]
        )
    columns = ["Potential", "Energy MAE (meV)", "Force MAE (meV/Å)", "Training frames", "Epochs", "Training time"]
    return Table(columns=columns, rows=rows, caption=caption)


def evaluation_table(evaluation: Mapping[str, Any], caption: str = "") -> Table:
    """Errors of each potential, from the evaluate.json of ``ffpt evaluate``."""
    names = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    rows = [
        [label, *(milli(errors.get(name)) for name in names), errors.get("frames")]
        for label, errors in evaluation["errors"].items()
    ]
    columns = ["Potential", "Energy MAE (meV)", "RMSE", "Force MAE (meV/Å)", "RMSE", "Test frames"]
    level = f" Labels: {evaluation['level']}." if evaluation.get("level") else ""
    return Table(columns=columns, rows=rows, caption=caption or f"Errors on test frames.{level}")


def holes_table(audits: Sequence[Mapping[str, Any]], caption: str = "") -> Table:
    """How many scans of each potential have a hole, from the audit.json of ``ffpt scan``."""
    rows: list[list[Cell]] = []
    for audit in audits:
        row: list[Cell] = [audit["label"]]
        for kind in ("bond", "angle"):
            counts = audit["counts"][kind]
            lowest = [one["lowest"] for one in audit["findings"] if one["kind"] == kind and one["lowest"] is not None]
            row += [f"{counts['holes']} of {counts['scans']}" if counts["scans"] else None]
            row += [decimals(min(lowest)) if lowest else None]
        rows.append(row)
    columns = ["Potential", "Bonds with a hole", "Lowest cost (eV)", "Angles with a hole", "Lowest cost (eV)"]
    return Table(columns=columns, rows=rows, caption=caption or _holes_caption(audits))


def _holes_caption(audits: Sequence[Mapping[str, Any]]) -> str:
    rules = audits[0]["rules"]
    return (
        f"A bond has a hole when it costs less than {rules['bond_energy']:g} eV to stretch it by "
        f"{rules['stretch']:g} Å or more, or less than {rules['compressed_energy']:g} eV to compress it by "
        f"{rules['compression']:g} Å or more. "
        f"An angle has one when it costs less than {rules['closed_energy']:g} eV to close it to {rules['closed']:g} "
        f"degrees or less, or less than {rules['opened_energy']:g} eV to open it to {rules['opened']:g} or more. "
        "Either has one when its energy has a second minimum below these bounds. Scans are rigid. The lowest cost is "
        "that of all geometries beyond these limits."
    )


def costs_table(audits: Sequence[Mapping[str, Any]], name: str, caption: str = "") -> Table:
    """Energies of one bond or angle at the lengths or angles of an audit.

    Args:
        audits: content of audit.json.
        name: of the scan: "bond C4-H18".
        caption: of the table.
    """
    rows: list[list[Cell]] = []
    points: list[str] = []
    for audit in audits:
        finding = next(one for one in audit["findings"] if one["name"] == name)
        points = list(finding["energies"])
        rows.append([audit["label"], *(decimals(energy) for energy in finding["energies"].values())])
    unit = "Å" if name.startswith("bond") else "degrees"
    columns = ["Potential", *(f"{float(point):g}\N{NO-BREAK SPACE}{unit} (eV)" for point in points)]
    return Table(
        columns=columns, rows=rows, caption=caption or f"Energy of the {name.replace('-', '–')}, others rigid."
    )


def stability_table(stability: Mapping[str, Any], caption: str = "") -> Table:
    """Failures of each set of replicas, from the stability.json of ``ffpt analyze stability``."""
    rows: list[list[Cell]] = []
    for label, curve in stability["survival"].items():
        failed = sorted((one for one in curve["replicas"] if not one["censored"]), key=lambda one: one["time"])
        first = f"{failed[0]['time']:.2f}" if failed else None
        alive = f"{curve['fraction'][-1]:.2f} ({curve['lower'][-1]:.2f} to {curve['upper'][-1]:.2f})"
        why = with_sign_of_angstrom(failed[0]["reason"]) if failed else None
        total = f"{curve['watched_ps']:,.1f}"
        rows.append([label, f"{curve['n_failed']} of {curve['n_replicas']}", first, total, alive, why])
    rules = stability.get("criterion", {})
    stretch = next((rule["max_stretch_angstrom"] for rule in rules.values()), 0.5)
    caption = caption or (
        f"Replicas that failed: a bond off by more than {stretch:g} Å, two atoms colliding, or coordinates not finite; "
        "fraction alive by Kaplan-Meier with 95 % confidence limits."
    )
    columns = ["Potential", "Failed", "First failure (ps)", "Watched (ps)", "Alive at the end", "First reason"]
    return Table(columns=columns, rows=rows, caption=caption)


def distances_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Errors of h(r), from the h-of-r.json of ``ffpt analyze h-of-r``."""
    rows: list[list[Cell]] = [
        [
            label,
            f"{error['mae']:.3f} ± {error['error']:.3f}",
            decimals(error["floor"], 3),
            record["distributions"][label]["n_frames"],
        ]
        for label, error in record["errors"].items()
    ]
    columns = ["Potential", "MAE of h(r)", "Two halves of the reference", "Frames"]
    reference = record["reference"].removesuffix(" (reference)")
    return Table(columns=columns, rows=rows, caption=caption or f"Integral error of h(r) against {reference}.")


def temperatures_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Temperature and energy drift of each replica, from the energy.json of ``ffpt analyze energy``."""
    rows: list[list[Cell]] = [
        [
            label,
            run["name"],
            f"{run['temperature_k']:.1f} ± {run['temperature_error_k']:.1f}",
            None if run["target_k"] is None else f"{run['target_k']:g}",
            f"{run['drift_mev_per_atom_per_ps']:.3f} ± {run['drift_error_mev_per_atom_per_ps']:.3f}".replace("-", "−"),
        ]
        for label, group in record.items()
        for run in group
    ]
    columns = ["Potential", "Replica", "Temperature (K)", "Thermostat (K)", "Energy drift (meV/atom/ps)"]
    return Table(columns=columns, rows=rows, caption=caption or "Temperature, and slope of the total energy.")


def rdf_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Peaks of g(r) and errors against the reference, from the rdf.json of ``ffpt analyze rdf``."""
    rows: list[list[Cell]] = []
    for label, distributions in record["distributions"].items():
        for pair, one in distributions.items():
            top = max(range(len(one["g"])), key=one["g"].__getitem__)
            centre = (one["edges_angstrom"][top] + one["edges_angstrom"][top + 1]) / 2
            error = record["errors"].get(label, {}).get(pair)
            mae = None if error is None else f"{error['mae']:.3f} ± {error['error']:.3f}"
            chance = None if error is None else f"{error['floor']:.3f}"
            rows.append([label, pair, f"{one['g'][top]:.2f} at {centre:.2f} Å", mae, chance, one["n_frames"]])
    columns = ["Run", "Pair", "Peak of g(r)", "MAE of g(r)", "By chance", "Frames"]
    return Table(columns=columns, rows=rows, caption=caption or "Pairs of different molecules.")


def diffusion_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Diffusion coefficients, from the diffusion.json of ``ffpt analyze diffusion``."""
    rows: list[list[Cell]] = []
    for label, one in record["diffusion"].items():
        ratio = record["ratios"].get(label)
        rows.append(
            [
                label,
                f"{one['coefficient_1e-9_m2_per_s']:.2f} ± {one['error_1e-9_m2_per_s']:.2f}",
                None if ratio is None else f"{ratio['ratio']:.2f} ± {ratio['error']:.2f}",
                f"{one['window_ps'][0]:g} to {one['window_ps'][1]:g}",
                f"{sum(one['lengths_ps']):.1f}",
            ]
        )
    columns = ["Run", "D (1e-9 m²/s)", "Over the reference", "Fit (ps)", "Length of all (ps)"]
    return Table(columns=columns, rows=rows, caption=caption or "In the box, without correction for its size.")


def water_geometry_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Bonds and angles of water, from the geometry.json of ``ffpt analyze geometry``."""
    rows: list[list[Cell]] = []
    for label, one in record.items():
        bond, angle = one["bond_angstrom"], one["angle_degrees"]
        rows.append(
            [
                label,
                f"{bond['mean']:.3f} ± {bond['std']:.3f}",
                f"{bond['min']:.2f} to {bond['max']:.2f}",
                f"{angle['mean']:.1f} ± {angle['std']:.1f}",
                f"{angle['min']:.0f} to {angle['max']:.0f}",
            ]
        )
    columns = ["Run", "O-H (Å)", "O-H, range", "H-O-H (degrees)", "H-O-H, range"]
    return Table(
        columns=columns, rows=rows, caption=caption or "Mean, spread and extremes over all molecules and frames."
    )


def species_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Molecules of each run of a reaction, from the species.json of ``ffpt analyze species``."""
    rows: list[list[Cell]] = []
    for label, run in record["runs"].items():
        pooled = run["pooled"]
        frequent = list(pooled["fractions"].items())[:4]
        first = pooled["first_unphysical_ps"]
        rows.append(
            [
                label,
                pooled["n_frames"],
                ", ".join(f"{name} {percent(fraction)}" for name, fraction in frequent),
                percent(pooled["unphysical_fraction"]),
                None if first is None else f"{first:.2f}",
                f"{pooled['n_stopped']} of {pooled['n_replicas']}",
            ]
        )
    columns = ["Potential", "Frames", "Most frequent", "Unphysical", "First unphysical (ps)", "Stopped by a guard"]
    allowed = ", ".join(record["allowed"])
    caption = caption or f"Molecules by their bonds in runs of {record['equation']}; all but {allowed} are unphysical."
    return Table(columns=columns, rows=rows, caption=caption)


def fes_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Minimum, barrier, basins and convergence of each free energy, from the fes.json of ``ffpt analyze fes``."""
    unit, surfaces = record["unit"], record["surfaces"]
    basins = {name: one["relative_to"] for surface in surfaces.values() for name, one in surface["basins"].items()}
    rows: list[list[Cell]] = []
    for label, surface in surfaces.items():
        minima, path, settled = surface["minima"], surface["path"], surface["convergence"]
        where = ", ".join(f"{name} {decimals(minima[0][name])}" for name in surface["variables"]) if minima else None
        row: list[Cell] = [label, f"{surface['time_ps']:,.1f}", surface["n_hills"], where]
        row += [None, None] if path is None else [_barrier(path, "barrier"), _barrier(path, "reverse_barrier")]
        for name in basins:
            basin = surface["basins"].get(name)
            row.append(None if basin is None else decimals(basin["difference"], 1))
        rows.append([*row, decimals(settled["rms_from_previous"][-1], 1)])
    differences = [f"{name} over {other} ({unit})" for name, other in basins.items()]
    columns = ["Potential", "Time (ps)", "Hills", "Minimum", f"Barrier ({unit})", f"Back ({unit})"]
    caption = caption or (
        f"Free energies from hills: the lowest barrier, and the RMS change of the last of the estimates over time up "
        f"to {record['within']:g} {unit} above the minimum. At least: the run was not everywhere on the way."
    )
    return Table(columns=[*columns, *differences, f"Last change ({unit})"], rows=rows, caption=caption)


def _barrier(path: Mapping[str, Any], name: str) -> str:
    return f"{'at least ' if path['is_lower_bound'] else ''}{decimals(path[name], 1)}"
