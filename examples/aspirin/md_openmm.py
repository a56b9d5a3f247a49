"""Langevin dynamics of aspirin in OpenMM, stopped at the first unphysical frame.

python examples/aspirin/md_openmm.py                  # the potential that "make demo" made
python examples/aspirin/md_openmm.py --model aspirin.pt --length 100
"""

import argparse

from openmm import LangevinMiddleIntegrator, Platform
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter
from openmm.unit import femtosecond, kelvin, picosecond

import ffpt_core
from ffpt_core.analysis import StabilityCriterion
from ffpt_openmm import StabilityReporter, UnphysicalFrameError, create_system

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="demo/finetuned/potential.pt", help="potential file")
parser.add_argument("--topology", default="demo/teacher/topology.pdb", help="the atoms, and where they start")
parser.add_argument("--length", type=float, default=10.0, help="ps")
parser.add_argument("--output", default="aspirin", help="files start with this")
arguments = parser.parse_args()

# The atoms: elements, bonds and positions. A potential needs only the elements.
pdb = PDBFile(arguments.topology)

# Masses from the topology, forces from the potential. TorchForce where it loads, PythonForce otherwise.
potential = ffpt_core.load(arguments.model)
system = create_system(potential, pdb.topology)

# Reference is OpenMM's fastest platform without a GPU when a potential is the only force.
integrator = LangevinMiddleIntegrator(500 * kelvin, 2 / picosecond, 0.5 * femtosecond)
integrator.setRandomNumberSeed(1)
simulation = Simulation(pdb.topology, system, integrator, Platform.getPlatformByName("Reference"))
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy(maxIterations=50)
simulation.context.setVelocitiesToTemperature(500 * kelvin, 1)

# The guard comes first: it stops the run before another reporter writes an unphysical frame. It compares bonds
# with their lengths in the PDB file (Angstrom), looks every 10 steps, and writes the frame that it stopped at.
start = pdb.getPositions(asNumpy=True)._value * 10
criterion = StabilityCriterion.from_topology(pdb.topology, start, max_stretch=0.5)
guard = StabilityReporter(criterion, 10, f"{arguments.output}-failure.xyz")
simulation.reporters = [
    guard,
    DCDReporter(f"{arguments.output}.dcd", 20),
    StateDataReporter(f"{arguments.output}.csv", 200, step=True, time=True, potentialEnergy=True, temperature=True),
]
try:
    guard.run(simulation, round(arguments.length / 0.0005))
    print(f"physical for {arguments.length:g} ps; open {arguments.output}.dcd with {arguments.topology}")
except UnphysicalFrameError as stop:
    print(stop)
