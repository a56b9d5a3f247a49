"""report.json of the combustion demonstration: what its page shows, from the results on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffpt_core.analysis.audit_table import costs_table, holes_table
from ffpt_core.analysis.style import save_figure
from ffpt_core.analysis.thermodynamics import temperatures_table
from ffpt_core.base.files import read_json, write_json
from ffpt_core.report.content import Figure, FlowStep, Headline, Link, Report, Section
from ffpt_core.report.tables import fes_table, species_table, training_table
from ffpt_core.studies.combustion.settings import (
    APART,
    BOUND,
    RATES,
    TEACHER,
    TEMPERATURE,
    Settings,
    metad_folder,
)
from ffpt_core.studies.numbers import free_energy, holes, mae, temperatures, unphysical, versus
from ffpt_core.studies.study import FINETUNED, RUNS, SCRATCH
from ffpt_core.training.plots import plot_learning_curve


@dataclass(frozen=True)
class _Results:
    """Contents of the JSON files; fes and energy are None where no run lasted long enough."""

    training: dict[str, Any]
    audits: list[dict[str, Any]]
    species: dict[str, Any]
    runs: dict[str, Any]
    fes: dict[str, Any] | None
    energy: dict[str, Any] | None


def write_report(folder: Path, settings: Settings, commands: Sequence[str]) -> None:
    """Write folder/report.json and the learning curves of both potentials in one picture."""
    results = _read(folder)
    history = {name: results.training[name]["history"] for name in (SCRATCH, FINETUNED)}
    save_figure(plot_learning_curve(history), folder / "learning_curves.png")
    report = Report(
        title="HO2 falls apart: a reaction by metadynamics",
        subtitle="Pre-trained on a force field of eight species and fine-tuned on few DFT frames, against from scratch",
        summary=_summary(settings, results),
        headline=_headline(results),
        flow=_flow(settings, results),
        sections=[
            _errors(results),
            _scans(results.audits),
            _molecules(settings, results),
            _free_energies(results),
        ],
        commands=list(commands),
    )
    write_json(folder / "report.json", report.model_dump())


def _read(folder: Path) -> _Results:
    def unless_absent(name: str) -> Any:
        path = folder / "analysis" / name
        return read_json(path) if path.exists() else None

    return _Results(
        training={name: read_json(folder / run / "result.json") for name, run in RUNS.items()},
        audits=read_json(folder / "scans" / "audit.json"),
        species=read_json(folder / "analysis" / "species.json"),
        runs={name: read_json(folder / metad_folder(name) / "run.json") for name in (SCRATCH, FINETUNED)},
        fes=unless_absent("fes.json"),
        energy=unless_absent("energy.json"),
    )


def _summary(settings: Settings, results: _Results) -> str:
    training = results.training
    return (
        f"Two potentials saw the same {settings.n_train} DFT frames of HO2 and of H leaving it; one had first learnt "
        f"{settings.rattled_frames:,} rattled molecules of eight species, which a force field labelled. Forces on test "
        f"frames are off by {mae(training, SCRATCH)} meV/Å from scratch and {mae(training, FINETUNED)} meV/Å with "
        f"pre-training. Of {settings.length:g} ps of metadynamics at {TEMPERATURE} K the run from scratch lasted "
        f"{_lasted(results, SCRATCH)} and the one with pre-training {_lasted(results, FINETUNED)}; molecules that the "
        f"reaction cannot make are in {unphysical(results.species, SCRATCH)} and "
        f"{unphysical(results.species, FINETUNED)} of their frames. {_stops(results)} Free energy of {APART} over "
        f"{BOUND} with pre-training: {free_energy(results.fes, FINETUNED, APART)}; from scratch: "
        f"{free_energy(results.fes, SCRATCH, APART)}."
    )


def _lasted(results: _Results, name: str) -> str:
    return f"{results.runs[name]['replicas'][0]['time_ps']:.3g} ps"


def _stops(results: _Results) -> str:
    """Which runs their guards ended, when and why; a sentence in any case."""
    stopped = [
        f"The run {name} was stopped at {one['stopped']['time_ps']:g} ps: {one['stopped']['reason']}."
        for name in (SCRATCH, FINETUNED)
        for one in results.species["runs"][name]["replicas"]
        if one["stopped"] is not None
    ]
    # Reasons are written for logs, without the sign of the unit.
    return re.sub(r"(?<=\d) A\b", " Å", " ".join(stopped)) or "Neither run was stopped by its guard."


def _headline(results: _Results) -> list[Headline]:
    training, audits = results.training, results.audits
    return [
        versus("Force MAE on test frames", lambda name: f"{mae(training, name)} meV/Å"),
        versus("Bonds of HO2 with a hole", lambda name: holes(audits, name)),
        versus(
            "Metadynamics: lasted, unphysical frames",
            lambda name: f"{_lasted(results, name)}, {unphysical(results.species, name)}",
        ),
        versus(f"Free energy of {APART} over {BOUND}", lambda name: free_energy(results.fes, name, APART)),
    ]


def _flow(settings: Settings, results: _Results) -> list[FlowStep]:
    return [
        FlowStep(title="Teacher", value=TEACHER, detail="H, O, H2, O2, OH, H2O, HO2, H2O2"),
        FlowStep(title="Rattle and label", value=f"{settings.rattled_frames:,} frames", detail="0.2 Å"),
        FlowStep(title="Pre-train", value=f"{settings.passes} passes", detail=f"{settings.n_features} features"),
        FlowStep(
            title="Fine-tune", value=f"{settings.n_train} frames", detail=f"wB97X/def2-TZVP, {settings.epochs} epochs"
        ),
        FlowStep(
            title="Metadynamics",
            value=f"{settings.length:g} ps",
            detail=f"{TEMPERATURE} K, {results.runs[FINETUNED]['bias']['kind']} bias",
        ),
        FlowStep(title="Analysis", value="species, free energy", detail="this page"),
    ]


def _errors(results: _Results) -> Section:
    caption = f"Errors on {results.training[SCRATCH]['test']['frames']:,} DFT frames that neither potential saw."
    return Section(
        title="Training and errors",
        text=(
            f"Same frames, same number of epochs, same batches; first learning rates {RATES[SCRATCH]:g} and "
            f"{RATES[FINETUNED]:g}. Test frames are of the same kinds as training frames (on the way of H, around it, "
            "vibrations of HO2), so these errors say little about what lies beyond. The network is smaller than the "
            "paper's, for two cores and a few minutes."
        ),
        tables=[training_table({name: results.training[name] for name in (SCRATCH, FINETUNED)}, caption)],
        figures=[
            Figure(path="learning_curves.png", caption="Validation errors and learning rate by epoch."),
            Figure(path="errors/evaluate.png", caption="Errors of energies and force components on the test frames."),
        ],
        files=[Link(path=f"{run}/result.json") for run in RUNS.values()] + [Link(path="rattled.json")],
    )


def _scans(audits: list[dict[str, Any]]) -> Section:
    return Section(
        title="Scans of HO2",
        text=(
            "The O-H and the O-O bond stretched and compressed, and the angle closed until H runs into the other O, "
            f"all else rigid. No DFT here: {TEACHER} shows how steep the walls are at short distance, and is too "
            "attractive far out."
        ),
        tables=[holes_table(audits), costs_table(audits, "bond O0-H2"), costs_table(audits, "bond O0-O1")],
        figures=[
            Figure(path="scans/scans.png", caption="O-H, O-O and O-O-H angle of HO2; its relaxed geometry is zero."),
        ],
        files=[Link(path="scans/audit.json")],
    )


def _molecules(settings: Settings, results: _Results) -> Section:
    return Section(
        title="Molecules over time",
        text=(
            f"Well-tempered metadynamics of {settings.length:g} ps each, begun at HO2; its two variables count the "
            "bonds of H with either O. The bias pulls H off, or over to the other O; walls bring it back from 3.5 Å. "
            f"O-O is not biased: only a wrong surface breaks it at {TEMPERATURE} K. {_stops(results)}"
        ),
        tables=[species_table(results.species)],
        figures=[Figure(path="analysis/species.png", caption="Molecules over time; fraction of unphysical frames.")],
        files=[Link(path="analysis/species.json")]
        + [Link(path=f"{metad_folder(name)}/run.json") for name in (SCRATCH, FINETUNED)],
    )


def _free_energies(results: _Results) -> Section:
    if results.fes is None or results.energy is None:
        return Section(title="Free energies", text="Not measured: both runs were stopped too early.")
    absent = [name for name in (SCRATCH, FINETUNED) if name not in results.fes["surfaces"]]
    left_out = f" Left out, because it was stopped too early: {absent[0]}." if absent else ""
    return Section(
        title="Temperature and free energies",
        text=(
            "Hills heat, so the temperature comes first: "
            f"{temperatures(results.energy)}, for a thermostat of {TEMPERATURE} K. On the benchmark's path (Guan et "
            "al., wB97X-V/cc-pVTZ) H + O2 are 221 kJ/mol above HO2 in energy; the free energy is lower by the room "
            f"that the walls leave to H.{left_out} Where both variables are one, H is between both O: the top of the "
            "way from one O to the other, so a minimum there is a hole. One run each: a second one, of another seed, "
            "is the honest test."
        ),
        tables=[temperatures_table(results.energy), fes_table(results.fes)],
        figures=[
            Figure(path="analysis/fes.png", caption="Free energy surfaces, with the way of the lowest barrier."),
            Figure(path="analysis/convergence.png", caption="How estimates settle over time."),
            Figure(path="analysis/energy.png", caption="Temperature and total energy."),
        ],
        files=[Link(path="analysis/fes.json"), Link(path="analysis/energy.json")],
    )
