"""Inputs that native PLUMED and a PLUMED kernel must agree on, and the kernel's stored numbers.

``PLUMED_KERNEL=... python tests/plumed_reference.py`` writes tests/data/plumed/native.json anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm

from ffpt_plumed import find_kernel
from ffpt_plumed.native import NativeBias, add_bias
from ffpt_plumed.text.tables import Table, read_table

STORED = Path(__file__).parent / "data" / "plumed" / "native.json"
TIMESTEP, TEMPERATURE = 0.001, 300.0
BOX = 0.45
"""Edge of a cubic box (nm), which is smaller than the molecule is long."""

COLVARS = """
g: GROUP ATOMS=4-6
d: DISTANCE ATOMS=1,2
dc: DISTANCE ATOMS=1,3 COMPONENTS NOPBC
a: ANGLE ATOMS=1,2,3
t: TORSION ATOMS=1,2,3,4
tc: TORSION ATOMS=1,2,3,5 COSINE
c0: COORDINATION GROUPA=1,2 GROUPB=3-6 R_0=0.15
c1: COORDINATION GROUPA=1-6 R_0=0.12 D_0=0.02 NN=8 MM=14
c2: COORDINATION GROUPA=1-3 GROUPB=2-6 SWITCH={RATIONAL R_0=0.1 D_0=0.03 NN=6 MM=10 D_MAX=0.25}
c3: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={EXP R_0=0.1 D_MAX=0.4}
c4: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={GAUSSIAN R_0=0.1 D_0=0.05}
c5: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={SMAP R_0=0.1 A=8 B=3 D_0=0.05}
c6: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={CUSTOM FUNC=1/(1+x2^3) R_0=0.1 D_MAX=0.3}
c7: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={CUSTOM FUNC=2/(1+exp(3*(x-1))) R_0=0.1 D_MAX=0.3}
c8: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={CUBIC D_0=0.1 D_MAX=0.3}
c9: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={TANH R_0=0.2 D_MAX=0.5 NOSTRETCH}
c10: COORDINATION GROUPA=1-3 GROUPB=g SWITCH={COSINUS R_0=0.2 D_0=0.05} PAIR
cu: CUSTOM ARG=d,a VAR=d,a FUNC=2/(1+exp(30*(d-0.1)))+sin(a)*pi PERIODIC=NO
p: MATHEVAL ARG=t FUNC=x+3 PERIODIC=-pi,pi
co: COMBINE ...
  ARG=t,d   # a torsion is periodic
  COEFFICIENTS=2,3 POWERS=2,-1 PARAMETERS=1.5,0.02 PERIODIC=NO
...
r: RESTRAINT ARG=t,c0,c1,c2,c3,c4,c5 AT=3,1,2,1,1,1,1 KAPPA=3,4,5,6,7,8,9 SLOPE=1,2,3,4,5,6,7
UPPER_WALLS ...
  LABEL=u ARG=d,t,c6,c7,c8,c9,c10,tc
  AT=0.09,0,0.1,.1,.1,.1,.1,-1 KAPPA=100,2,3,3,3,3,3,1 EXP=2,3,2,2,2,2,2,2 EPS=1,2,1,1,1,1,1,1
  OFFSET=0.01,0,0,0,0,0,0,0
... UPPER_WALLS
l: LOWER_WALLS ARG=a,cu,co,p,dc.x AT=3,10,10,2,1 KAPPA=10,2,2,2,2
PRINT ARG=* FILE=COLVAR FMT=%.12g
"""

METADS = """
UNITS LENGTH=A ENERGY=kcal/mol TIME=fs
d: DISTANCE ATOMS=1,2
t: TORSION ATOMS=1,2,3,4
c: COORDINATION GROUPA=1,2 GROUPB=3-6 R_0=1.5
x: CUSTOM ARG=d FUNC=2/(1+exp(3*(x-1))) PERIODIC=NO
sum: METAD ARG=d,t SIGMA=0.1,0.2 HEIGHT=0.5 PACE=2 BIASFACTOR=8
grid1: METAD ...
  ARG=c SIGMA=0.1 HEIGHT=0.5 PACE=3 FILE=HILLS1 TEMP=400 BIASFACTOR=5 GRID_MIN=0 GRID_MAX=9 GRID_BIN=300 CALC_RCT
...
flat: METAD ARG=t SIGMA=0.3 HEIGHT=0.5 PACE=5 FILE=HILLS2 GRID_MIN=-pi GRID_MAX=pi GRID_SPACING=0.05 CALC_RCT
grid2: METAD ARG=x,t SIGMA=0.05,0.3 TAU=20 PACE=4 FILE=HILLS3 GRID_MIN=0,-pi GRID_MAX=2.2,pi BIASFACTOR=10
PRINT ARG=*.* FILE=COLVAR FMT=%.12g
PRINT ARG=*.bias,t FILE=COLVAR2 STRIDE=3 FMT=%.12g
"""

METAD_OF_THREE = """
d: DISTANCE ATOMS=1,2
t: TORSION ATOMS=1,2,3,4
c: COORDINATION GROUPA=1,2 GROUPB=3-6 R_0=0.15
METAD ...
  LABEL=m ARG=d,t,c SIGMA=0.01,0.3,0.2 HEIGHT=1 PACE=2 BIASFACTOR=10
  GRID_MIN=0,-pi,0 GRID_MAX=0.4,pi,8 GRID_BIN=50,40,60 GRID_SPACING=0.01,0.2,0.1
... METAD
PRINT ARG=m.bias FILE=COLVAR FMT=%.12g
"""


@dataclass
class Driven:
    """What an input did on a row of frames: (n,) kJ/mol, (n, atoms, 3) kJ/mol/nm, and its tables."""

    energies: np.ndarray
    forces: np.ndarray
    tables: dict[str, Table]


def frames(count: int, periodic: bool) -> np.ndarray:
    """(count, 6, 3) nm: a chain that wanders."""
    random = np.random.default_rng(1)
    chain = np.array([[0, 0, 0], [10, 2, 0], [13, 11, 1], [24, 12, 9], [30, 20, 10], [10, -10, 20]]) / 100
    moved = chain + np.cumsum(random.normal(0, 0.004, (count, 6, 3)), axis=0)
    # Molecules may sit in any image.
    return moved + BOX * random.integers(-1, 2, (1, 6, 3)) if periodic else moved


def drive_native(
    script: str, positions: np.ndarray, periodic: bool, folder: Path, platform: str = "Reference"
) -> Driven:
    """The input through ffpt_plumed.native."""
    bias, context = native_context(script, positions.shape[1], periodic, folder, platform)
    energies, forces = [], []
    for step, frame in enumerate(positions):
        context.setPositions(frame)
        context.setStepCount(step)
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy()._value)
        forces.append(state.getForces(asNumpy=True)._value.copy())
        bias.update(context)
    bias.close()
    return Driven(np.array(energies), np.array(forces), tables(folder))


def native_context(
    script: str, n_atoms: int, periodic: bool = False, folder: Path = Path(), platform: str = "Reference", **options
) -> tuple[NativeBias, openmm.Context]:
    """A system of nothing but the bias."""
    system = openmm.System()
    for _ in range(n_atoms):
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*(BOX * np.eye(3)))
    options = {"temperature": TEMPERATURE, "periodic": periodic, "folder": folder, **options}
    bias = add_bias(system, script, **options)
    integrator = openmm.VerletIntegrator(TIMESTEP)
    return bias, openmm.Context(system, integrator, openmm.Platform.getPlatform(platform))


def drive_kernel(script: str, positions: np.ndarray, periodic: bool, folder: Path) -> Driven:
    """The input through PLUMED's kernel."""
    import plumed

    n_atoms = positions.shape[1]
    energies, all_forces, masses = [], [], np.ones(n_atoms)
    with contextlib.chdir(folder), plumed.Plumed(kernel=str(find_kernel())) as kernel:
        Path("plumed.dat").write_text(script)
        kernel.cmd("setMDEngine", "tests")
        kernel.cmd("setNatoms", n_atoms)
        kernel.cmd("setTimestep", TIMESTEP)
        kernel.cmd("setKbT", 0.0083144621 * TEMPERATURE)
        kernel.cmd("setPlumedDat", "plumed.dat")
        kernel.cmd("setLogFile", "log")
        kernel.cmd("init")
        for step, frame in enumerate(positions):
            forces, virial, energy = np.zeros((n_atoms, 3)), np.zeros((3, 3)), np.zeros(1)
            kernel.cmd("setStep", step)
            kernel.cmd("setMasses", masses)
            kernel.cmd("setPositions", np.ascontiguousarray(frame))
            kernel.cmd("setForces", forces)
            kernel.cmd("setVirial", virial)
            if periodic:
                kernel.cmd("setBox", BOX * np.eye(3))
            kernel.cmd("calc", None)
            kernel.cmd("getBias", energy)
            energies.append(energy[0])
            all_forces.append(forces)
    return Driven(np.array(energies), np.array(all_forces), tables(folder))


def tables(folder: Path) -> dict[str, Table]:
    """All tables that a run wrote."""
    return {path.name: read_table(path) for path in sorted(folder.iterdir()) if path.name[:5] in ("COLVA", "HILLS")}


def cases() -> Iterator[tuple[str, str, bool]]:
    """Name, input, periodic."""
    for periodic in (False, True):
        where = "periodic" if periodic else "isolated"
        yield f"colvars, {where}", COLVARS, periodic
        yield f"metads, {where}", METADS, periodic
    yield "metad of three", METAD_OF_THREE, False


def _store(count: int = 24) -> None:
    """Write what the kernel says of the first frames."""
    record: dict = {"frames": count, "cases": {}}
    for name, script, periodic in cases():
        with tempfile.TemporaryDirectory() as folder:
            driven = drive_kernel(script, frames(count, periodic), periodic, Path(folder))
            version = re.search(r"Version: (\S+)", Path(folder, "log").read_text())
        record["plumed"] = version[1] if version else "unknown"
        record["cases"][name] = {
            "energies": _rounded(driven.energies),
            "forces": _rounded(driven.forces[::10]),
            "tables": {
                name: {"fields": table.fields, "constants": table.constants, "values": _rounded(table.values)}
                for name, table in driven.tables.items()
            },
        }
    STORED.parent.mkdir(exist_ok=True)
    STORED.write_text(json.dumps(record, separators=(",", ":")) + os.linesep)


def _rounded(array: np.ndarray) -> list:
    """Ten digits, which is more than the tests ask for."""
    return np.vectorize(lambda value: float(f"{value:.10g}"))(array).tolist()


if __name__ == "__main__":
    _store()
