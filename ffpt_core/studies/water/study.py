"""The steps of the water demonstration.

Teacher: one flexible TIP3P molecule. Reference: a box of flexible SPC/Fw molecules, simulated here. Two potentials
see the same few frames of it; one of them was pre-trained on rattled frames of the single molecule, packed into boxes
in which molecules only keep their distance; it rehearses strained ones while it learns the liquid.
"""

from __future__ import annotations

from pathlib import Path

from ffpt_core.base.files import read_json
from ffpt_core.studies.runner import Runner, Step, step
from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH, models
from ffpt_core.studies.water.report import write_report
from ffpt_core.studies.water.settings import LOSS, RATES, REFERENCE, TEMPERATURE, Settings

BOX = "box/reference"
"""Folder of the reference model, which ffpt md runs as it runs a potential."""


def steps(runner: Runner, folder: Path, settings: Settings) -> None:
    """Run the commands of the study, or what is left of them, and write report.json (for demos.study.perform)."""
    runner.run([_box(settings)], [*_teachers(), *_pretraining(settings)])
    runner.run([_training(FINETUNED, settings)], [_training(SCRATCH, settings)])
    runner.run(
        [_dynamics(FINETUNED, settings), _scan()],
        [_dynamics(SCRATCH, settings), _evaluation(), *_reference_dynamics(settings)],
    )
    runner.run([_constant_energy(FINETUNED, settings)])
    runner.run(_analyses(folder, settings))
    if _finished(folder / "nve" / RUNS[FINETUNED]):
        runner.run([_diffusion(settings)])
    write_report(folder, settings, runner.commands)


def _box(settings: Settings) -> Step:
    return step(
        "box", f"{settings.molecules} molecules of {REFERENCE}: the reference liquid",
        "data", "water-box", "-o", "box", "--molecules", settings.molecules, "--cutoff", 4.9,
        "--equilibration", min(20.0, 40 * settings.interval),
        "--train", settings.n_train + settings.n_validation, "--interval", settings.interval,
        "--test", settings.n_test, "--seed", settings.seed,
    )  # fmt: skip


def _teachers() -> list[Step]:
    return [
        step("teacher", "Flexible TIP3P, one molecule: the teacher", "teacher", "--water", "tip3p", "-o", "teacher"),
        step("monomer", f"{REFERENCE}, one molecule, for the scans", "teacher", "--water", "spcfw", "-o", "spcfw"),
    ]


def _pretraining(settings: Settings) -> list[Step]:
    return [
        step(
            "rattle", f"{settings.rattled_frames:,} rattled frames, labelled by the teacher",
            "rattle", "teacher", "-o", "rattled.npz", "--frames", settings.rattled_frames, "--sigma", settings.sigma,
            "--sigma-min", 0, "--temperature", 800, "--seed", settings.seed,
        ),
        step(
            "pack", f"Packed into boxes of {settings.packed}",
            "data", "pack", "rattled.npz", "-o", "packed.npz", "--molecules", settings.packed, "--seed", settings.seed,
        ),
        step(
            "strain", "Strained molecules, none near its minimum, to rehearse",
            "rattle", "teacher", "-o", "strained.npz", "--frames", settings.packed * settings.rehearsed,
            "--seed", settings.seed + 1,
        ),
        step(
            "contacts", "Packed as well",
            "data", "pack", "strained.npz", "-o", "contacts.npz", "--molecules", settings.packed,
            "--seed", settings.seed + 1,
        ),
        step(
            "pretrain", "Pre-training on the packed frames",
            "train", "--data", "packed.npz", "--n-validation", 200, "--loss", "robust", "--schedule", "cosine",
            "--learning-rate", RATES[PRETRAINED], "--warmup", 200, "--gradient-clip", 100, "--ema", 0.995,
            "--batch-size", 6, "--epochs", 4, *_network(settings), "--seed", settings.seed, "--threads", 1,
            "-o", RUNS[PRETRAINED],
        ),
    ]  # fmt: skip


def _network(settings: Settings) -> tuple[object, ...]:
    return "--n-features", settings.n_features, "--cutoff", settings.cutoff


def _training(name: str, settings: Settings) -> Step:
    """From scratch and fine-tuning differ in the starting weights, rehearsal and the first learning rate alone."""
    fine = name == FINETUNED
    pretrained = ("--start", f"{RUNS[PRETRAINED]}/potential.pt", "--rehearse", "contacts.npz")
    start = (*pretrained, "--n-rehearse", settings.rehearsed) if fine else _network(settings)
    return step(
        RUNS[name], f"Fine-tuning on frames of {REFERENCE}" if fine else "Training from scratch on the same frames",
        "train", "--data", "box/train.npz", "--n-train", settings.n_train, "--n-validation", settings.n_validation,
        "--test", "box/test.npz", *start, *LOSS, "--gradient-clip", 4, "--schedule", "cosine",
        "--learning-rate", RATES[name], "--warmup", 50, "--batch-size", 1, "--ema", 0.99,
        "--epochs", settings.epochs, "--seed", settings.seed, "--threads", 1,
        "-o", RUNS[name],
    )  # fmt: skip


def _md(name: str, title: str, model: str, output: str, length: float, settings: Settings, *options: object) -> Step:
    return step(
        name, title,
        "md", model, "--temperature", TEMPERATURE, "--length", length, "--replicas", settings.replicas,
        "--seed", settings.seed, "-o", output, *options,
    )  # fmt: skip


def _dynamics(name: str, settings: Settings) -> Step:
    title = f"MD {name}, {settings.replicas} x {settings.length:g} ps at {TEMPERATURE} K"
    box = ("--topology", f"{BOX}/topology.pdb", "--min-distance", 1.2, "--jobs", 1)
    return _md(
        f"md-{RUNS[name]}", title, f"{RUNS[name]}/potential.pt", f"md/{RUNS[name]}", settings.length, settings, *box
    )


def _constant_energy(name: str, settings: Settings) -> Step:
    title = f"MD {name} at constant energy, {settings.replicas} x {settings.nve_length:g} ps"
    box = ("--topology", f"{BOX}/topology.pdb", "--min-distance", 1.2, "--jobs", 2)
    model, output = f"{RUNS[name]}/potential.pt", f"nve/{RUNS[name]}"
    return _md(f"nve-{RUNS[name]}", title, model, output, settings.nve_length, settings, *box, *_start(settings))


def _start(settings: Settings) -> tuple[object, ...]:
    """Constant energy from frames of the reference's run with a thermostat, the same for both models."""
    every = settings.length / 2
    return "--friction", 0, "--start", "md/reference", "--start-every", every, "--interval", 20


def _reference_dynamics(settings: Settings) -> list[Step]:
    """The same runs with the reference model itself."""
    return [
        _md("md-reference", f"MD of {REFERENCE}", BOX, "md/reference", settings.length, settings, "--jobs", 1),
        _md("nve-reference", f"MD of {REFERENCE} at constant energy", BOX, "nve/reference", settings.nve_length,
            settings, "--jobs", 1, *_start(settings)),
    ]  # fmt: skip


def _scan() -> Step:
    return step(
        "scan", "Scans of the single molecule, holes counted",
        "scan", *models(), "TIP3P=teacher:teacher", "--reference", f"{REFERENCE}=teacher:spcfw",
        "--molecule", "spcfw/relaxed.xyz", "--bond", "0,1", "--angle", "1,0,2", "--all-bonds", "--all-angles",
        "-o", "scans",
    )  # fmt: skip


def _evaluation() -> Step:
    compared = models(SCRATCH, FINETUNED)
    return step("evaluate", "Errors on test frames", "evaluate", *compared, "--data", "box/test.npz", "-o", "errors")


def _analyses(folder: Path, settings: Settings) -> list[Step]:
    runs = [f"{name}=md/{RUNS[name]}" for name in (SCRATCH, FINETUNED)]
    output = ("-o", "analysis")
    found = [
        step("stability", "Stability", "analyze", "stability", *runs, "--rdf-reference", "box/test.npz", *output),
        step("geometry", "Bonds and angles over time", "analyze", "geometry", *runs, *output),
    ]  # fmt: skip
    skip = settings.length / 5
    if any(time > skip for name in (SCRATCH, FINETUNED) for time in _times(folder / "md" / RUNS[name])):
        reference = ("--reference", f"{REFERENCE}=md/reference", "--skip", skip)
        found.append(step("rdf", "g(r)", "analyze", "rdf", *runs, *reference, *output))
    return found


def _diffusion(settings: Settings) -> Step:
    return step(
        "diffusion", "Diffusion coefficients",
        "analyze", "diffusion", f"{FINETUNED}=nve/{RUNS[FINETUNED]}", "--reference", f"{REFERENCE}=nve/reference",
        "--fit-start", settings.nve_length / 10, "--fit-end", settings.nve_length / 2.5, "-o", "analysis",
    )  # fmt: skip


def _times(run: Path) -> list[float]:
    """How long each replica of a run stayed physical, ps."""
    return [replica["time_ps"] for replica in read_json(run / "run.json")["replicas"]]


def _finished(run: Path) -> bool:
    """Whether no replica of a run was stopped by its guard."""
    return all(replica["status"] == "finished" for replica in read_json(run / "run.json")["replicas"])
