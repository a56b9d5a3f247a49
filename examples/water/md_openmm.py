"""Langevin dynamics of liquid water in OpenMM, at constant volume or pressure, stopped at the first unphysical frame.

python examples/water/md_openmm.py --model finetuned/potential.pt --topology water/reference/topology.pdb
python examples/water/md_openmm.py --model finetuned/potential.pt --pressure 1
"""

import argparse

from openmm import HarmonicBondForce, LangevinMiddleIntegrator, MonteCarloBarostat, Platform
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter
from openmm.unit import bar, femtosecond, kelvin, picosecond

import ffpt_core
from ffpt_core.analysis import StabilityCriterion
from ffpt_openmm import StabilityReporter, UnphysicalFrameError, create_system

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="finetuned/potential.pt", help="potential file")
parser.add_argument("--topology", default="water/reference/topology.pdb", help="the box, with its CRYST1 record")
parser.add_argument("--length", type=float, default=10.0, help="ps")
parser.add_argument("--pressure", type=float, help="bar; without it the volume is constant")
parser.add_argument("--output", default="water", help="files start with this")
arguments = parser.parse_args()

# A topology with a box makes the System periodic.
pdb = PDBFile(arguments.topology)
system = create_system(ffpt_core.load(arguments.model), pdb.topology)
if arguments.pressure is not None:
    # A barostat moves whole molecules, and finds them by bonds, which a potential has none of: bonds without strength.
    molecules = HarmonicBondForce()
    for bond in pdb.topology.bonds():
        molecules.addBond(bond[0].index, bond[1].index, 0, 0)
    system.addForce(molecules)
    system.addForce(MonteCarloBarostat(arguments.pressure * bar, 300 * kelvin))

integrator = LangevinMiddleIntegrator(300 * kelvin, 2 / picosecond, 0.5 * femtosecond)
integrator.setRandomNumberSeed(1)
simulation = Simulation(pdb.topology, system, integrator, Platform.getPlatformByName("Reference"))
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy(maxIterations=50)
simulation.context.setVelocitiesToTemperature(300 * kelvin, 1)

# Fu et al.: no bond 0.5 Angstrom off its length, no two molecules closer than 1.2 Angstrom.
start = pdb.getPositions(asNumpy=True)._value * 10
cell = [[10 * x for x in vector] for vector in pdb.topology.getPeriodicBoxVectors()._value]
criterion = StabilityCriterion.from_topology(pdb.topology, start, cell, max_stretch=0.5, min_distance=1.2)
guard = StabilityReporter(criterion, 10, f"{arguments.output}-failure.xyz")
table = {"step": True, "time": True, "potentialEnergy": True, "temperature": True, "density": True}
simulation.reporters = [
    guard,
    # Whole molecules in the box; False: continuous coordinates, for a diffusion constant.
    DCDReporter(f"{arguments.output}.dcd", 20, enforcePeriodicBox=True),
    StateDataReporter(f"{arguments.output}.csv", 200, **table),
]
try:
    guard.run(simulation, round(arguments.length / 0.0005))
    print(f"physical for {arguments.length:g} ps; open {arguments.output}.dcd with {arguments.topology}")
except UnphysicalFrameError as stop:
    print(stop)
