"""Aspirin in water through OpenMM-ML: the molecule by the potential, water and what is between them by MM.

python examples/aspirin/mixed_system.py                  # the potential that "make demo" made
"""

import argparse

from openmm import LangevinMiddleIntegrator, Platform
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter
from openmm.unit import femtosecond, kelvin, nanometer, picosecond
from openmmml import MLPotential

from ffpt_core.teachers import load_teacher
from ffpt_openmm.forces.solvent import solvate

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="demo/finetuned/potential.pt", help="potential file")
parser.add_argument("--teacher", default="aspirin", help="classical force field of the molecule: folder or built-in")
parser.add_argument("--box", type=float, default=2.5, help="edge of the box, nm")
parser.add_argument("--length", type=float, default=1.0, help="ps")
parser.add_argument("--output", default="aspirin-water", help="files start with this")
arguments = parser.parse_args()

# A classical system of the whole box: aspirin by GAFF-2.11, rigid TIP3P water, particle-mesh Ewald.
# Any System and Topology of yours will do, as long as you know the indices of the atoms to replace.
box = solvate(load_teacher(arguments.teacher), arguments.box)
with open(f"{arguments.output}.pdb", "w") as stream:
    PDBFile.writeFile(box.topology, box.positions * nanometer, stream)

# Inside aspirin the potential replaces GAFF; charges and Lennard-Jones terms to the water stay (mechanical embedding).
potential = MLPotential("ffpt", modelPath=arguments.model)
system = potential.createMixedSystem(box.topology, box.system, box.solute)

# Here most atoms are classical, and the CPU platform (or a GPU) is the fast one.
integrator = LangevinMiddleIntegrator(300 * kelvin, 2 / picosecond, 0.5 * femtosecond)
simulation = Simulation(box.topology, system, integrator, Platform.getPlatformByName("CPU"))
simulation.context.setPositions(box.positions)
simulation.minimizeEnergy(maxIterations=200)
simulation.context.setVelocitiesToTemperature(300 * kelvin, 1)
simulation.reporters = [
    DCDReporter(f"{arguments.output}.dcd", 20),
    StateDataReporter(f"{arguments.output}.csv", 100, step=True, time=True, potentialEnergy=True, temperature=True),
]
simulation.step(round(arguments.length / 0.0005))
print(f"{len(box.solute)} atoms by the potential, {len(box.positions) - len(box.solute)} by MM")
print(f"open {arguments.output}.dcd with {arguments.output}.pdb")
