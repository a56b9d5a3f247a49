"""Metadynamics of reaction 9 in ASE: its Plumed calculator over that of a potential. It needs a PLUMED kernel.

python examples/combustion/metad_ase.py --model h2.pt
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.plumed import Plumed
from ase.io.trajectory import Trajectory
from ase.md.langevin import Langevin

import ffpt_core
from ffpt_plumed.kernel.ase import input_lines

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="potential file")
parser.add_argument("--input", type=Path, default=Path(__file__).with_name("reaction_9.dat"), help="PLUMED input")
parser.add_argument("--length", type=float, default=100.0, help="ps")
arguments = parser.parse_args()

atoms = Atoms("OOH", [[0, 0, 0], [1.32, 0, 0], [-0.26, 0.94, 0]])
timestep = 0.2 * units.fs

# ASE wants the input line by line, the timestep in its own unit and kT in eV; PLUMED's files keep PLUMED's units.
# PLUMED_KERNEL must point at libplumedKernel.
atoms.calc = Plumed(
    ffpt_core.load(arguments.model).calculator(),
    input_lines(arguments.input.read_text()),
    timestep,
    atoms,
    kT=300 * units.kB,
    log="plumed.log",
)

rng = np.random.default_rng(1)
atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * units.kB * 300)[:, None])
friction = 10 / (1000 * units.fs)
dynamics = Langevin(atoms, timestep, temperature_K=300, friction=friction, rng=rng, fixcm=False)
dynamics.attach(Trajectory("reaction_9.traj", "w", atoms).write, interval=50)
dynamics.run(round(1000 * arguments.length / 0.2))
atoms.calc.plumed.finalize()  # writes out HILLS and COLVAR
print(f"{dynamics.get_time() / (1000 * units.fs):.3f} ps: see COLVAR and HILLS")
