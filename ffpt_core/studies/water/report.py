"""report.json of the water demonstration: what its page shows, from the results on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffpt_core.analysis.audit_table import costs_table, holes_table
from ffpt_core.analysis.rdf import rdf_table
from ffpt_core.analysis.self_diffusion import diffusion_table
from ffpt_core.analysis.stability import stability_table
from ffpt_core.analysis.style import save_figure
from ffpt_core.analysis.water import water_geometry_table
from ffpt_core.base.files import read_json, write_json
from ffpt_core.report.content import Figure, FlowStep, Headline, Link, Report, Section
from ffpt_core.report.tables import training_table
from ffpt_core.studies.numbers import failures, holes, mae, versus
from ffpt_core.studies.study import FINETUNED, RUNS, SCRATCH
from ffpt_core.studies.water.settings import RATES, REFERENCE, TEMPERATURE, Settings
from ffpt_core.training.plots import plot_learning_curve


def write_report(folder: Path, settings: Settings, commands: Sequence[str]) -> None:
    """Write folder/report.json and the learning curves of both potentials in one picture."""
    results = {name: read_json(folder / run / "result.json") for name, run in RUNS.items()}
    figure = plot_learning_curve({name: results[name]["history"] for name in (SCRATCH, FINETUNED)})
    save_figure(figure, folder / "learning_curves.png")
    audits = read_json(folder / "scans" / "audit.json")
    survival = read_json(folder / "analysis" / "stability.json")
    geometry = read_json(folder / "analysis" / "geometry.json")
    rdf, diffusion = (_if_measured(folder / "analysis" / f"{name}.json") for name in ("rdf", "diffusion"))
    report = Report(
        title="Liquid water from one molecule",
        subtitle="Pre-trained on a single TIP3P molecule and fine-tuned on few frames of a box, against from scratch",
        summary=_summary(settings, results, audits, survival, diffusion),
        headline=[
            versus("Force MAE on test frames", lambda name: f"{mae(results, name)} meV/Å"),
            versus("Scans of the molecule with a hole", lambda name: holes(audits, name)),
            versus("MD runs that failed", lambda name: failures(survival, name)),
            Headline(label=f"D over that of {REFERENCE}", value=_ratio(diffusion), detail="same box, constant energy"),
        ],
        flow=_flow(settings),
        sections=[
            _errors(settings, results),
            Section(
                title="Scans of one molecule",
                text=(
                    "An O-H bond stretched and the H-O-H angle opened to 180 degrees, in vacuum: frames of the liquid "
                    "hold neither. The teacher has seen both; the reference model says what is right."
                ),
                tables=[holes_table(audits), costs_table(audits, "bond O0-H1"), costs_table(audits, "angle H1-O0-H2")],
                figures=[
                    Figure(path="scans/scans.png", caption="O-H stretch and H-O-H bend of one molecule."),
                    Figure(path="scans/audit.png", caption="Lowest energy beyond the physical range; cross: a hole."),
                ],
                files=[Link(path="scans/audit.json")],
            ),
            _stability(settings, survival, geometry),
            _structure(rdf),
            _diffusion(settings, diffusion),
        ],
        commands=list(commands),
    )
    write_json(folder / "report.json", report.model_dump())


def _if_measured(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None


def _ratio(diffusion: dict[str, Any] | None) -> str:
    if diffusion is None:
        return "not measured"
    ratio = diffusion["ratios"][FINETUNED]
    return f"{ratio['ratio']:.2f} ± {ratio['error']:.2f}"


def _summary(
    settings: Settings,
    results: dict[str, Any],
    audits: list[dict[str, Any]],
    survival: dict[str, Any],
    diffusion: dict[str, Any] | None,
) -> str:
    return (
        f"Two potentials saw the same {settings.n_train} frames of a box of {settings.molecules} molecules of "
        f"{REFERENCE}; one had first learnt {settings.rattled_frames:,} rattled frames of a single TIP3P molecule, "
        f"{settings.packed} to a box and without interactions but a wall at 1.5 Å, and rehearsed {settings.rehearsed} "
        f"boxes of strained ones later. "
        f"Forces on test frames are off by {mae(results, SCRATCH)} meV/Å from scratch and "
        f"{mae(results, FINETUNED)} meV/Å with pre-training. Holes on the surface of one molecule: "
        f"{holes(audits, SCRATCH)} scans from scratch, {holes(audits, FINETUNED)} with pre-training. In molecular "
        f"dynamics at {TEMPERATURE} K, {failures(survival, SCRATCH)} runs from scratch failed and "
        f"{failures(survival, FINETUNED)} pre-trained and fine-tuned ones. Diffusion coefficient of the latter over "
        f"that of {REFERENCE} in the same box: {_ratio(diffusion)}."
    )


def _flow(settings: Settings) -> list[FlowStep]:
    return [
        FlowStep(title="Teacher", value="TIP3P", detail="one flexible molecule"),
        FlowStep(
            title="Rattle and label",
            value=f"{settings.rattled_frames:,} frames",
            detail=f"up to {settings.sigma:g} Å; {settings.packed} to a box",
        ),
        FlowStep(title="Pre-train", value="4 passes", detail=f"{settings.n_features} features, {settings.cutoff:g} Å"),
        FlowStep(
            title="Fine-tune",
            value=f"{settings.n_train} frames",
            detail=f"of {settings.molecules} {REFERENCE}, {settings.epochs} epochs",
        ),
        FlowStep(
            title="MD in OpenMM",
            value=f"{settings.replicas} x {settings.length:g} ps",
            detail=f"{TEMPERATURE} K; then {settings.nve_length:g} ps at constant energy",
        ),
        FlowStep(title="Analysis", value="stability, g(r), D", detail="this page"),
    ]


def _errors(settings: Settings, results: dict[str, Any]) -> Section:
    caption = f"Errors on {results[SCRATCH]['test']['frames']:,} frames of another trajectory of {REFERENCE}."
    return Section(
        title="Training and errors",
        text=(
            f"Same frames, same number of epochs, batches of one frame, robust loss in which the energy of a whole box "
            f"counts little; first learning rates {RATES[SCRATCH]:g} and {RATES[FINETUNED]:g}. The network is smaller "
            "than the paper's, for two cores and a quarter of an hour."
        ),
        tables=[training_table({name: results[name] for name in (SCRATCH, FINETUNED)}, caption)],
        figures=[
            Figure(path="learning_curves.png", caption="Validation errors and learning rate by epoch."),
            Figure(path="errors/evaluate.png", caption="Errors of energies and force components on the test frames."),
        ],
        files=[Link(path=f"{run}/result.json") for run in RUNS.values()] + [Link(path="rattled.json")],
    )


def _stability(settings: Settings, survival: dict[str, Any], geometry: dict[str, Any]) -> Section:
    return Section(
        title="Stability",
        text=(
            f"{settings.replicas} replicas of {settings.length:g} ps each at {TEMPERATURE} K, Langevin dynamics, 2/ps, "
            "0.5 fs. A run fails at the first frame with an O-H bond more than 0.5 Å off, molecules closer than 1.2 Å, "
            "or no number at all, and when g(r) of a picosecond drifts off that of the reference."
        ),
        tables=[stability_table(survival), water_geometry_table(geometry)],
        figures=[
            Figure(path="analysis/stability.png", caption="Share of runs alive (Kaplan-Meier, 95 % limits)."),
            Figure(path="analysis/geometry.png", caption="O-H bonds and H-O-H angles over time."),
        ],
        files=[Link(path="analysis/stability.json"), Link(path="analysis/geometry.json")]
        + [Link(path=f"md/{RUNS[name]}/run.json") for name in (SCRATCH, FINETUNED)],
    )


def _structure(rdf: dict[str, Any] | None) -> Section:
    if rdf is None:
        return Section(title="Structure", text="Not measured: no run stayed physical for long enough.")
    caption = f"g(r) at {TEMPERATURE} K beside that of {REFERENCE}."
    return Section(
        title="Structure",
        tables=[rdf_table(rdf)],
        figures=[Figure(path="analysis/rdf.png", caption=caption)],
        files=[Link(path="analysis/rdf.json")],
    )


def _diffusion(settings: Settings, diffusion: dict[str, Any] | None) -> Section:
    if diffusion is None:
        return Section(title="Diffusion", text="Not measured: a run at constant energy failed (`nve/finetuned`).")
    return Section(
        title="Diffusion",
        text=(
            f"Runs of {settings.nve_length:g} ps at constant energy, begun at frames of the reference's run with a "
            "thermostat, both models in the same box, whose size makes both D too small by the same amount. So short a "
            "time gives D to some tens of percent."
        ),
        tables=[diffusion_table(diffusion)],
        figures=[Figure(path="analysis/diffusion.png", caption="Mean square displacement of oxygen.")],
        files=[Link(path="analysis/diffusion.json")],
    )
