"""Metadynamics of reaction 9 in a plain OpenMM script, over a PLUMED kernel or, without one, as OpenMM forces.

python examples/combustion/metad_openmm.py --model h2.pt
python examples/combustion/metad_openmm.py --model h2.pt --native
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from ase import Atoms
from openmm import app, unit

from ffpt_core.base.units import NANOMETRE
from ffpt_openmm import create_system, topology_of
from ffpt_plumed import PlumedForce
from ffpt_plumed.native import add_bias

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="potential file")
parser.add_argument("--input", type=Path, default=Path(__file__).with_name("reaction_9.dat"), help="PLUMED input")
parser.add_argument("--length", type=float, default=100.0, help="ps")
parser.add_argument("--native", action="store_true", help="without a PLUMED kernel")
arguments = parser.parse_args()

atoms = Atoms("OOH", [[0, 0, 0], [1.32, 0, 0], [-0.26, 0.94, 0]])  # HO2, Angstrom
topology, script, timestep = topology_of(atoms), arguments.input.read_text(), 0.0002

system = create_system(arguments.model, topology)
native = None
if arguments.native:
    native = add_bias(system, script, temperature=300)
else:
    force = PlumedForce(script, system, timestep=timestep, temperature=300)
    force.setLogFile("plumed.log")
    system.addForce(force)

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 10 / unit.picosecond, timestep * unit.picosecond)
simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
simulation.context.setPositions(np.array(atoms.positions) / NANOMETRE)
simulation.context.setVelocitiesToTemperature(300, 1)
if native is not None:
    simulation.reporters.append(native.reporter())
simulation.reporters.append(app.DCDReporter("reaction_9.dcd", 50))
simulation.step(round(arguments.length / timestep))
print(f"{simulation.context.getState().getTime()}: see COLVAR and HILLS")
