"""The steps of the combustion demonstration.

Teacher: Q-Force, of the eight species of hydrogen combustion. Reference level: DFT, whose frames come with the package.
Two potentials see the same frames of one reaction; one of them was pre-trained on rattled molecules, which do not
react. Metadynamics then takes both to wherever their surfaces let them go.
"""

from __future__ import annotations

from pathlib import Path

from ffpt_core.datasets import combustion_dft
from ffpt_core.studies.combustion.report import write_report
from ffpt_core.studies.combustion.settings import (
    BASINS,
    GRID,
    RATES,
    REACTION,
    TEACHER,
    TEMPERATURE,
    Settings,
    metad_folder,
)
from ffpt_core.studies.runner import Runner, Step, step
from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH, models, write_frames

_FEWEST_HILLS = 40
"""Of a run that a guard stopped: with fewer there is no free energy to speak of."""


def steps(runner: Runner, folder: Path, settings: Settings) -> None:
    """Run the commands of the study, or what is left of them, and write report.json (for demos.study.perform)."""
    _write_data(folder, settings)
    runner.run(
        [step("teacher", f"{TEACHER} teachers of eight species", "teacher", "--qforce", "all", "-o", "teachers")]
    )
    runner.run(
        [*_pretraining(settings), _training(FINETUNED, settings)],
        [_training(SCRATCH, settings), _metadynamics(SCRATCH, settings)],
    )
    runner.run([_metadynamics(FINETUNED, settings)], [_scan(), _evaluation()])
    runner.run(_analyses(folder))
    write_report(folder, settings, runner.commands)


def _write_data(folder: Path, settings: Settings) -> None:
    """Training frames of the reaction (with those for validation) and the rest as test frames."""
    frames = combustion_dft()
    frames = frames[frames.groups["reaction"] == REACTION.zfill(2)]
    write_frames(folder, "dft", frames, settings.n_train + settings.n_validation, settings.seed)


def _pretraining(settings: Settings) -> list[Step]:
    return [
        step(
            "rattle", f"{settings.rattled_frames:,} rattled frames, labelled by the teachers",
            "rattle", "teachers", "-o", "rattled.npz", "--frames", settings.rattled_frames, "--seed", settings.seed,
        ),
        step(
            "pretrain", "Pre-training on them",
            "train", "--data", "rattled.npz", "--n-validation", 200, "--loss", "robust", "--schedule", "cosine",
            "--learning-rate", RATES[PRETRAINED], "--warmup", 200, "--gradient-clip", 10, "--ema", 0.995,
            "--batch-size", 20, "--epochs", settings.passes, "--shifts", "keep", *_network(settings),
            "--seed", settings.seed, "--threads", 1, "-o", RUNS[PRETRAINED],
        ),
    ]  # fmt: skip


def _network(settings: Settings) -> tuple[object, ...]:
    return "--n-features", settings.n_features


def _training(name: str, settings: Settings) -> Step:
    """From scratch and fine-tuning differ in the starting weights alone.

    Energies of teacher and DFT have the same zero, which fine-tuning keeps; random weights have it fitted.
    """
    fine = name == FINETUNED
    start = ("--start", f"{RUNS[PRETRAINED]}/potential.pt", "--shifts", "keep") if fine else _network(settings)
    return step(
        RUNS[name], "Fine-tuning on DFT frames of the reaction" if fine else "Training from scratch on the same frames",
        "train", "--data", "dft-train.npz", "--n-train", settings.n_train, "--n-validation", settings.n_validation,
        "--test", "dft-test.npz", *start, "--schedule", "cosine", "--learning-rate", RATES[name],
        "--warmup", 50, "--batch-size", 5, "--ema", 0.99, "--epochs", settings.epochs, "--seed", settings.seed,
        "--threads", 1, "-o", RUNS[name],
    )  # fmt: skip


def _metadynamics(name: str, settings: Settings) -> Step:
    return step(
        f"metad-{RUNS[name]}", f"Metadynamics {name}, {settings.length:g} ps at {TEMPERATURE} K",
        "metad", "--reaction", REACTION, "--model", f"{RUNS[name]}/potential.pt", "--temperature", TEMPERATURE,
        "--length", settings.length, "--seed", settings.seed, "-o", metad_folder(name),
    )  # fmt: skip


def _scan() -> Step:
    return step(
        "scan", "Scans of HO2, holes counted",
        "scan", *models(), f"{TEACHER}=teacher:teachers/HO2", "--molecule", "teachers/HO2",
        "--bond", "0,2", "--bond", "0,1", "--angle", "1,0,2", "--all-bonds", "-o", "scans",
    )  # fmt: skip


def _evaluation() -> Step:
    compared = models(SCRATCH, FINETUNED)
    return step("evaluate", "Errors on test frames", "evaluate", *compared, "--data", "dft-test.npz", "-o", "errors")


def _analyses(folder: Path) -> list[Step]:
    """Molecules of both runs; temperature and free energy of those that lasted long enough to have one."""
    output = ("-o", "analysis")
    found = [step("species", "Molecules over time", "analyze", "species", *_runs(SCRATCH, FINETUNED), *output)]
    lasting = [name for name in (SCRATCH, FINETUNED) if _count_hills(folder / metad_folder(name)) >= _FEWEST_HILLS]
    if lasting:
        basins = [part for name, region in BASINS.items() for part in ("--basin", f"{name}={region}")]
        found += [
            step("fes", "Free energies", "analyze", "fes", *_runs(*lasting), *basins, *GRID, *output),
            step("energy", "Temperature", "analyze", "energy", *_runs(*lasting), *output),
        ]
    return found


def _runs(*names: str) -> list[str]:
    return [f"{name}={metad_folder(name)}" for name in names]


def _count_hills(run: Path) -> int:
    hills = run / "HILLS"
    return sum(not line.startswith("#") for line in hills.read_text().splitlines()) if hills.exists() else 0
