"""Steps per second of metadynamics: PLUMED's kernel in OpenMM, native forces, and ASE, in the same rounds.

    python -m benchmarks.metadynamics --output benchmark
    python -m benchmarks.metadynamics --device cuda --platform CUDA

HO2 to H4O2: reactions 9, 10, 17 and 14 with 3 to 6 atoms and the inputs that ``ffpt metad --reaction`` writes, on the
paper's network. Prints a table, writes metadynamics.json and metadynamics.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from rich.console import Console
from rich.table import Table

from benchmarks.speed import machine
from benchmarks.systems import ELEMENTS
from benchmarks.timing import Case, Effort, Spread, paired_times
from ffpt_core import NetworkPotential
from ffpt_core.base.figures import legend_above, new_figure, save_figure
from ffpt_core.base.files import write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_openmm import topology_of
from ffpt_openmm.md.replicas import Ensemble, Replicas
from ffpt_openmm.md.settings import MDSettings
from ffpt_plumed import reaction
from ffpt_plumed.kernel.library import has_kernel
from ffpt_plumed.metadynamics.replicas import AseEnsemble, BiasedEnsemble
from ffpt_plumed.metadynamics.run import METAD_SETTINGS
from ffpt_plumed.reactions.inputs import plumed_input
from ffpt_plumed.text.plumed_input import PlumedInput

REACTIONS = ("9", "10", "17", "14")
STEPS = 100
"""Of a visit: one hill, ten rows of COLVAR."""

_SPACING = 1.5  # Angstrom


def potential() -> NetworkPotential:
    """The paper's network with random weights, its energies scaled down so that atoms neither collide nor fly off."""
    torch.manual_seed(0)
    return NetworkPotential(NewtonNet(), ELEMENTS, None, dict.fromkeys(ELEMENTS, 0.001)).eval()


def ensembles(number: str, model: NetworkPotential, settings: MDSettings, folder: Path) -> dict[str, Replicas]:
    """The ways to run a reaction that there are here, by name."""
    chosen = reaction(number)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    atoms = Atoms(chosen.symbols, _SPACING * grid[: len(chosen.symbols)])
    topology, script = topology_of(atoms), PlumedInput.of(plumed_input(chosen))
    plain = Ensemble(model, topology, settings, [atoms], [0])
    plain.begin()
    found: dict[str, Replicas] = {"no bias": plain}
    shared = (model, topology, settings, [atoms], b"")
    for name in ["native", *(["PlumedForce", "ASE"] if has_kernel() else [])]:
        place = folder / f"{number}-{name}"
        place.mkdir()
        if name == "ASE":
            found[name] = AseEnsemble(script, place, *shared)
        else:
            found[name] = BiasedEnsemble("plumed" if name == "PlumedForce" else name, script, place, *shared)
    return found


def measure(effort: Effort, device: str, platform: str) -> dict[str, dict[str, dict[str, float]]]:
    """Steps in a second, by number of atoms and way: of processor time on a CPU, by the clock on a GPU."""
    settings = dataclasses.replace(METAD_SETTINGS, backend="pythonforce", platform=platform)
    model, rates = potential().to(device), {}
    clock = {"cpu": 1, "cuda": 0}[device]
    with tempfile.TemporaryDirectory() as folder:
        for number in REACTIONS:
            ways = ensembles(number, model, settings, Path(folder))
            cases = [Case(name, lambda way=way: way.advance(STEPS), amount=STEPS) for name, way in ways.items()]
            with progress_bar(f"reaction {number}", effort.rounds, "rounds") as advance:
                times = paired_times(cases, effort, device, advance)
            for way in ways.values():
                way.close()
            rates[str(len(reaction(number).symbols))] = {
                name: Spread.of(1 / seconds[:, clock]).to_dict() for name, seconds in times.items()
            }
    return rates


def draw(rates: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Steps in a second against the number of atoms."""
    figure, (axes,) = new_figure()
    for name in next(iter(rates.values())):
        values = [rates[atoms][name] for atoms in rates]
        medians = np.array([value["median"] for value in values])
        errors = np.abs([[value["low"], value["high"]] for value in values] - medians[:, None]).T
        axes.errorbar([int(atoms) for atoms in rates], medians, errors, marker="o", capsize=2, label=name)
    axes.set(xlabel="atoms", ylabel="steps per second", ylim=(0, None), xticks=[int(atoms) for atoms in rates])
    legend_above(figure, *axes.get_legend_handles_labels())
    save_figure(figure, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmark"), help="folder of metadynamics.json and .png")
    parser.add_argument("--quick", action="store_true", help="a few seconds: a smoke test")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the potential (default: cpu)")
    parser.add_argument("--platform", default="Reference", help="of OpenMM (default: Reference)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    effort = Effort(rounds=5, budget=0.1, visit=0.001) if chosen.quick else Effort(rounds=20, budget=60.0)
    rates = measure(effort, chosen.device, chosen.platform)
    seconds = {"cpu": "second of processor time", "cuda": "second"}[chosen.device]
    title = f"steps per {seconds}, one thread, {chosen.device}, {chosen.platform}"
    table = Table("atoms", *next(iter(rates.values())))
    for atoms, ways in rates.items():
        table.add_row(atoms, *(f"{way['median']:,.0f}" for way in ways.values()))
    Console(width=110).print(title, table, sep="\n")
    chosen.output.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine(1, chosen.device), "platform": chosen.platform, "steps_per_second": rates}
    write_json(chosen.output / "metadynamics.json", found)
    draw(rates, chosen.output / "metadynamics.png")


if __name__ == "__main__":
    main()
