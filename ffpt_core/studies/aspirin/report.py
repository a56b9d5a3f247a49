"""report.json of the aspirin demonstration: what its page shows, from the results on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffpt_core.analysis.audit_table import costs_table, holes_table
from ffpt_core.analysis.stability import stability_table
from ffpt_core.analysis.structure import distances_table
from ffpt_core.analysis.style import save_figure
from ffpt_core.analysis.thermodynamics import temperatures_table
from ffpt_core.base.files import read_json, write_json
from ffpt_core.report.content import Figure, FlowStep, Headline, Link, Report, Section
from ffpt_core.report.tables import training_table
from ffpt_core.sampling.rattle import SIGMA
from ffpt_core.studies.aspirin.settings import (
    METHYL_CARBON,
    METHYL_HYDROGENS,
    RATES,
    RATTLE_TEMPERATURE,
    Settings,
    md_folder,
)
from ffpt_core.studies.numbers import failures, holes, mae, versus
from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH
from ffpt_core.training.plots import plot_learning_curve

_STRETCH = f"bond C{METHYL_CARBON}-H{METHYL_HYDROGENS[0]}"
_BEND = f"angle H{METHYL_HYDROGENS[0]}-C{METHYL_CARBON}-H{METHYL_HYDROGENS[1]}"


def write_report(folder: Path, settings: Settings, commands: Sequence[str]) -> None:
    """Write folder/report.json and the learning curves of both potentials in one picture."""
    results = {name: read_json(folder / run / "result.json") for name, run in RUNS.items()}
    figure = plot_learning_curve({name: results[name]["history"] for name in (SCRATCH, FINETUNED)})
    save_figure(figure, folder / "learning_curves.png")
    audits = read_json(folder / "scans" / "audit.json")
    survival = {k: read_json(folder / f"analysis-{k}K" / "stability.json") for k in settings.lengths}
    rattled = read_json(folder / "rattled.json")
    report = Report(
        title="Aspirin: a potential that does not blow up",
        subtitle="Pre-trained on a force field and fine-tuned on few reference frames, against training from scratch",
        summary=_summary(settings, results, audits, survival),
        headline=_headline(settings, results, audits, survival),
        flow=_flow(settings, rattled),
        sections=[
            _teacher(rattled),
            _errors(settings, results),
            _scans(audits),
            *(_stability(settings, kelvin, survival[kelvin]) for kelvin in settings.lengths),
            _structure(folder, min(settings.lengths)),
        ],
        commands=list(commands),
    )
    write_json(folder / "report.json", report.model_dump())


def _summary(
    settings: Settings, results: dict[str, Any], audits: list[dict[str, Any]], survival: dict[int, Any]
) -> str:
    failed = "; ".join(
        f"at {kelvin} K {failures(survival[kelvin], SCRATCH)} runs from scratch failed and "
        f"{failures(survival[kelvin], FINETUNED)} pre-trained and fine-tuned ones"
        for kelvin in settings.lengths
    )
    return (
        f"Two potentials saw the same {settings.n_train} GFN2-xTB frames of aspirin for the same {settings.epochs} "
        f"epochs; one had first learnt {settings.rattled_frames:,} rattled frames that GAFF-2.11 labelled in seconds. "
        f"Forces on test frames are off by {mae(results, SCRATCH)} meV/Å from scratch and "
        f"{mae(results, FINETUNED)} meV/Å with pre-training. Holes of the energy surface: {holes(audits, SCRATCH)} "
        f"scans from scratch, {holes(audits, FINETUNED)} with pre-training. In molecular dynamics, {failed}."
    )


def _headline(
    settings: Settings, results: dict[str, Any], audits: list[dict[str, Any]], survival: dict[int, Any]
) -> list[Headline]:
    hottest = max(settings.lengths)
    return [
        versus("Force MAE on test frames", lambda name: f"{mae(results, name)} meV/Å"),
        versus("Energy MAE on test frames", lambda name: f"{mae(results, name, 'energy')} meV"),
        versus("Scans with a hole", lambda name: holes(audits, name)),
        versus(f"MD runs that failed at {hottest} K", lambda name: failures(survival[hottest], name)),
    ]


def _flow(settings: Settings, rattled: dict[str, Any]) -> list[FlowStep]:
    md = ", ".join(f"{length:g} ps at {kelvin} K" for kelvin, length in settings.lengths.items())
    return [
        FlowStep(title="Teacher", value="GAFF-2.11", detail="aspirin, 21 atoms, AM1-BCC charges"),
        FlowStep(
            title="Rattle and label",
            value=f"{settings.rattled_frames:,} frames",
            detail=f"MD at {RATTLE_TEMPERATURE} K, noise to {SIGMA} Å, {rattled['seconds']:.1f} s",
        ),
        FlowStep(title="Pre-train", value="1 pass", detail="robust loss"),
        FlowStep(
            title="Fine-tune", value=f"{settings.n_train} frames", detail=f"GFN2-xTB at 500 K, {settings.epochs} epochs"
        ),
        FlowStep(title="MD in OpenMM", value=f"{settings.replicas} replicas", detail=f"Langevin, 0.5 fs; {md}"),
        FlowStep(title="Analysis", value="stability, h(r), scans", detail="this page"),
    ]


def _teacher(rattled: dict[str, Any]) -> Section:
    return Section(
        title="Rattled frames",
        text=(
            f"Frames of the force field's own dynamics at {RATTLE_TEMPERATURE} K, each with Gaussian noise on every "
            f"coordinate, {SIGMA} Å wide at most, labelled by the force field. They begin at the geometries "
            "of molecular dynamics and reach far beyond: that is where a potential trained on dynamics alone has "
            "nothing to go by."
        ),
        figures=[
            Figure(
                path="rattled.png", caption="Energy per vibrational degree of freedom; distances beside those of MD."
            )
        ],
        files=[Link(path="rattled.json")],
    )


def _errors(settings: Settings, results: dict[str, Any]) -> Section:
    caption = f"Errors on {results[SCRATCH]['test']['frames']:,} GFN2-xTB test frames."
    return Section(
        title="Training and errors",
        text=(
            f"Same frames, same number of epochs, same batches; the learning rate starts at {RATES[SCRATCH]:g} from "
            f"random weights and at {RATES[FINETUNED]:g} from pre-trained ones."
        ),
        tables=[training_table({name: results[name] for name in (SCRATCH, FINETUNED)}, caption)],
        figures=[
            Figure(path="learning_curves.png", caption="Validation errors and learning rate by epoch."),
            Figure(path="errors/evaluate.png", caption="Errors of energies and force components on the test frames."),
        ],
        files=[Link(path=f"{run}/result.json") for run in RUNS.values()],
    )


def _scans(audits: list[dict[str, Any]]) -> Section:
    return Section(
        title="Scans: where the holes are",
        text=(
            "One C-H bond of the methyl group stretched, one H-C-H angle closed, then every bond and every H-X-H "
            f"angle, with the three potentials ({SCRATCH}, {PRETRAINED}, {FINETUNED}) and the reference method itself."
        ),
        tables=[holes_table(audits), costs_table(audits, _STRETCH), costs_table(audits, _BEND)],
        figures=[
            Figure(path="scans/scans.png", caption="C-H stretch and H-C-H bend; the relaxed geometry has energy zero."),
            Figure(
                path="scans/audit.png", caption="Lowest energy of each scan beyond its physical range; cross: a hole."
            ),
        ],
        files=[Link(path="scans/audit.json")],
    )


def _stability(settings: Settings, kelvin: int, survival: dict[str, Any]) -> Section:
    folder = f"analysis-{kelvin}K"
    length = settings.lengths[kelvin]
    return Section(
        title=f"Stability at {kelvin} K",
        text=(
            f"{settings.replicas} replicas of {length:g} ps each, Langevin dynamics, 2/ps, 0.5 fs. A run fails at the "
            "first frame with a bond more than 0.5 Å off its equilibrium length, colliding atoms, or no number at all."
        ),
        tables=[stability_table(survival)],
        figures=[Figure(path=f"{folder}/stability.png", caption="Share of runs alive (Kaplan-Meier, 95 % limits).")],
        files=[Link(path=f"{folder}/stability.json")]
        + [Link(path=f"{md_folder(name, kelvin)}/run.json") for name in (SCRATCH, FINETUNED)],
    )


def _structure(folder: Path, kelvin: int) -> Section:
    analysis = f"analysis-{kelvin}K"
    return Section(
        title=f"Structure and temperature at {kelvin} K",
        tables=[
            distances_table(read_json(folder / analysis / "h-of-r.json")),
            temperatures_table(read_json(folder / analysis / "energy.json")),
        ],
        figures=[
            Figure(
                path=f"{analysis}/h-of-r.png",
                caption="Distribution of interatomic distances, beside that of the reference's own dynamics.",
            )
        ],
        files=[Link(path=f"{analysis}/h-of-r.json"), Link(path=f"{analysis}/energy.json")],
    )
