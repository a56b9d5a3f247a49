"""The steps of the aspirin demonstration.

Teacher: GAFF-2.11. Reference level: GFN2-xTB, whose frames come with the package. Two potentials see the
same few reference frames for the same number of epochs; one of them was pre-trained on rattled GAFF frames.
"""

from __future__ import annotations

from pathlib import Path

from ffpt_core.datasets import aspirin_gfn2
from ffpt_core.sampling.rattle import SIGMA
from ffpt_core.studies.aspirin.report import write_report
from ffpt_core.studies.aspirin.settings import (
    METHYL_CARBON,
    METHYL_HYDROGENS,
    RATES,
    RATTLE_TEMPERATURE,
    Settings,
    md_folder,
)
from ffpt_core.studies.runner import Runner, Step, step
from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH, models, write_frames


def steps(runner: Runner, folder: Path, settings: Settings) -> None:
    """Run the commands of the study, or what is left of them, and write report.json (for demos.study.perform)."""
    _write_data(folder, settings)
    runner.run([step("teacher", "GAFF-2.11 teacher of aspirin", "teacher", "aspirin", "-o", "teacher")])
    runner.run(
        [*_pretraining(settings), _training(FINETUNED, settings)],
        [_training(SCRATCH, settings), *_dynamics(SCRATCH, settings, jobs=1)],
    )
    runner.run(_dynamics(FINETUNED, settings, jobs=2))
    runner.run(_scans(), [_evaluation(), *_analyses(settings)])
    write_report(folder, settings, runner.commands)


def _write_data(folder: Path, settings: Settings) -> None:
    """Training frames (with those for validation) and the rest as test frames."""
    frames = aspirin_gfn2()
    write_frames(folder, "gfn2", frames, settings.n_train + settings.n_validation, settings.seed)


def _pretraining(settings: Settings) -> list[Step]:
    return [
        step(
            "rattle", f"{settings.rattled_frames:,} rattled frames, labelled by the teacher",
            "rattle", "teacher", "-o", "rattled.npz", "--frames", settings.rattled_frames,
            "--temperature", RATTLE_TEMPERATURE, "--sigma-min", 0, "--sigma", SIGMA, "--seed", settings.seed,
        ),
        step(
            "pretrain", "Pre-training on them",
            "train", "--data", "rattled.npz", "--n-validation", 200, "--loss", "robust", "--schedule", "cosine",
            "--learning-rate", RATES[PRETRAINED], "--warmup", 200, "--gradient-clip", 500, "--ema", 0.995,
            "--epochs", 10,
            "--frames-per-epoch", (settings.rattled_frames - 200) // 10,
            "--seed", settings.seed, "--threads", 1, "-o", RUNS[PRETRAINED],
        ),
    ]  # fmt: skip


def _training(name: str, settings: Settings) -> Step:
    """From scratch and fine-tuning differ in the starting weights and the first learning rate alone."""
    fine = name == FINETUNED
    start = ("--start", f"{RUNS[PRETRAINED]}/potential.pt") if fine else ()
    return step(
        RUNS[name], "Fine-tuning on GFN2-xTB frames" if fine else "Training from scratch on the same frames",
        "train", "--data", "gfn2-train.npz", "--n-train", settings.n_train, "--n-validation", settings.n_validation,
        "--test", "gfn2-test.npz", *start, "--schedule", "cosine", "--learning-rate", RATES[name], "--batch-size", 5,
        "--ema", 0.99, "--epochs", settings.epochs, "--seed", settings.seed, "--threads", 1,
        "-o", RUNS[name],
    )  # fmt: skip


def _dynamics(name: str, settings: Settings, jobs: int) -> list[Step]:
    return [
        step(
            f"md-{RUNS[name]}-{kelvin}K", f"MD {name}, {settings.replicas} x {length:g} ps at {kelvin} K",
            "md", f"{RUNS[name]}/potential.pt", "--teacher", "teacher", "--temperature", kelvin,
            "--length", length, "--log-interval", 20, "--replicas", settings.replicas, "--jobs", jobs,
            "--seed", settings.seed, "-o", md_folder(name, kelvin),
        )
        for kelvin, length in settings.lengths.items()
    ]  # fmt: skip


def _scans() -> list[Step]:
    first, second, _ = METHYL_HYDROGENS
    return [
        step(
            "scan", "Scans of bonds and angles, holes counted",
            "scan", *models(), "--reference", "GFN2-xTB=tblite:GFN2-xTB", "--molecule", "teacher/relaxed.xyz",
            "--bond", f"{METHYL_CARBON},{first}", "--angle", f"{first},{METHYL_CARBON},{second}",
            "--all-bonds", "--all-angles", "-o", "scans",
        )
    ]  # fmt: skip


def _evaluation() -> Step:
    compared = models(SCRATCH, FINETUNED)
    return step("evaluate", "Errors on test frames", "evaluate", *compared, "--data", "gfn2-test.npz", "-o", "errors")


def _analyses(settings: Settings) -> list[Step]:
    steps = []
    for kelvin in settings.lengths:
        runs = [f"{name}={md_folder(name, kelvin)}" for name in (SCRATCH, FINETUNED)]
        output = ("-o", f"analysis-{kelvin}K")
        steps.append(
            step(f"stability-{kelvin}K", f"Stability at {kelvin} K", "analyze", "stability", *runs,
                 "--reference", "teacher/relaxed.xyz", *output)
        )  # fmt: skip
        if kelvin == min(settings.lengths):
            # The first tenth is warming up.
            skip = ("--skip", f"{0.1 * settings.lengths[kelvin]:g}")
            reference = ("--reference", "GFN2-xTB frames=gfn2-test.npz", *skip)
            steps.append(step("h-of-r", "Distances h(r) in MD", "analyze", "h-of-r", *runs, *reference, *output))
            steps.append(step("energy", "Temperature", "analyze", "energy", *runs, *skip, *output))
    return steps
