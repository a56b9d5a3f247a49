"""Langevin dynamics of liquid water in ASE, with the pressure of every frame.

python examples/water/md_ase.py --model finetuned/potential.pt --structure water/reference/relaxed.xyz
"""

import argparse

import numpy as np
from ase import units
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.langevin import Langevin

import ffpt_core
from ffpt_core.analysis import StabilityCriterion

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="finetuned/potential.pt", help="potential file")
parser.add_argument("--structure", default="water/reference/relaxed.xyz", help="extended XYZ with a cell")
parser.add_argument("--length", type=float, default=10.0, help="ps")
parser.add_argument("--output", default="water", help="files start with this")
arguments = parser.parse_args()

atoms = read(arguments.structure)
criterion = StabilityCriterion.from_reference(atoms, min_distance=1.2)  # Fu et al.
atoms.calc = ffpt_core.load(arguments.model).calculator()  # eV, eV/Angstrom, and stress because the cell is periodic

rng = np.random.default_rng(1)
atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * units.kB * 300)[:, None])
friction = 2 / (1000 * units.fs)
dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=300, friction=friction, rng=rng, fixcm=False)
dynamics.attach(Trajectory(f"{arguments.output}.traj", "w", atoms).write, interval=20)

# Ten steps at a time, until a molecule leaves the physical range or the end is reached. Positions are not wrapped.
failure, pressures = None, []
for _ in range(round(arguments.length / 0.005)):
    dynamics.run(10)
    pressures.append(-atoms.get_stress(include_ideal_gas=True)[:3].mean() / units.bar)
    failure = criterion.check(atoms.positions, np.array(atoms.cell))
    if failure is not None:
        break
time = dynamics.get_time() / (1000 * units.fs)
print(f"{time:.3f} ps, {atoms.get_temperature():.0f} K, {np.mean(pressures):,.0f} bar on average: ", end="")
print("physical" if failure is None else failure.reason)
