"""Langevin dynamics of aspirin in ASE.

python examples/aspirin/md_ase.py                  # the potential that "make demo" made
"""

import argparse

import numpy as np
from ase import units
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.langevin import Langevin
from ase.optimize import BFGS

import ffpt_core
from ffpt_core.analysis import StabilityCriterion

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="demo/finetuned/potential.pt", help="potential file")
parser.add_argument("--molecule", default="demo/teacher/relaxed.xyz", help="where the atoms start")
parser.add_argument("--length", type=float, default=10.0, help="ps")
parser.add_argument("--output", default="aspirin", help="files start with this")
arguments = parser.parse_args()

atoms = read(arguments.molecule)
criterion = StabilityCriterion.from_reference(atoms)  # bonds as they are in the relaxed molecule

# Energies in eV, forces in eV/Angstrom, as everywhere in ASE.
atoms.calc = ffpt_core.load(arguments.model).calculator()
BFGS(atoms, logfile=None).run(fmax=0.05, steps=20)

# Momenta at 500 K (Maxwell-Boltzmann), then steps of 0.5 fs with a friction of 2/ps.
rng = np.random.default_rng(1)
atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * units.kB * 500)[:, None])
friction = 2 / (1000 * units.fs)
dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=500, friction=friction, rng=rng, fixcm=False)
dynamics.attach(Trajectory(f"{arguments.output}.traj", "w", atoms).write, interval=20)

# Ten steps at a time, until a bond leaves the physical range or the end is reached.
failure = None
for _ in range(round(arguments.length / 0.005)):
    dynamics.run(10)
    failure = criterion.check(atoms.positions)
    if failure is not None:
        break
time = dynamics.get_time() / (1000 * units.fs)
print(f"{time:.3f} ps, {atoms.get_temperature():.0f} K: {'physical' if failure is None else failure.reason}")
