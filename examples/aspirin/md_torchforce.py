"""Aspirin with an exported potential: OpenMM and openmmtorch only, ffpt is not needed.

ffpt export demo/finetuned/potential.pt -o force.pt --topology demo/teacher/topology.pdb
python examples/aspirin/md_torchforce.py --force force.pt
"""

import argparse

# isort: off
import torch  # before OpenMM and openmmtorch: their plugin finds the libraries of torch only when they are loaded
import openmmtorch

# isort: on
from openmm import CMMotionRemover, LangevinMiddleIntegrator, Platform, System
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter
from openmm.unit import femtosecond, kelvin, picosecond

parser = argparse.ArgumentParser()
parser.add_argument("--force", default="force.pt", help="file of ffpt export")
parser.add_argument("--topology", default="demo/teacher/topology.pdb", help="the atoms, in the order of the export")
parser.add_argument("--length", type=float, default=10.0, help="ps")
parser.add_argument("--output", default="aspirin", help="files start with this")
arguments = parser.parse_args()

torch.set_num_threads(1)  # the fastest for a molecule of this size
pdb = PDBFile(arguments.topology)

# Particles with their masses, and the potential as their only force.
system = System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(openmmtorch.TorchForce(arguments.force))
system.addForce(CMMotionRemover())

integrator = LangevinMiddleIntegrator(500 * kelvin, 2 / picosecond, 0.5 * femtosecond)
integrator.setRandomNumberSeed(1)
simulation = Simulation(pdb.topology, system, integrator, Platform.getPlatformByName("Reference"))
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy(maxIterations=50)
simulation.context.setVelocitiesToTemperature(500 * kelvin, 1)
simulation.reporters = [
    DCDReporter(f"{arguments.output}.dcd", 20),
    StateDataReporter(f"{arguments.output}.csv", 200, step=True, time=True, potentialEnergy=True, temperature=True),
]
simulation.step(round(arguments.length / 0.0005))
print(f"open {arguments.output}.dcd with {arguments.topology}")
