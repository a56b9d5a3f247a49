"""Flexible three-site water: one molecule as a teacher, and a periodic box of them as a reference liquid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.periodic import wrap_molecules
from ffpt_core.teachers.provenance import versions
from ffpt_core.teachers.systems import assign_force_groups, import_openmm
from ffpt_core.teachers.teacher import Teacher

if TYPE_CHECKING:
    from openmm import System
    from openmm.app import ForceField, Topology

MOLAR_MASS = 18.015324
"""g/mol, of the masses of both models."""

AVOGADRO = 0.602214076
"""Molecules/mol times cm3 in Angstrom^3."""

EWALD_TOLERANCE = 1e-5
"""Error of the real-space part of particle-mesh Ewald at the cutoff, relative (OpenMM's definition)."""

MESH_SPACING = 0.52
"""Angstrom, of its mesh, which takes most of the time. Forces of a 12.4 Angstrom box are then within 0.07 meV/Angstrom
(rms, 1 part in 10,000) of converged ones; they are the exact gradient of the energy all the same."""


@dataclass(frozen=True)
class WaterModel:
    """A flexible three-site water model.

    Args:
        name: what the user calls it.
        level: level of theory of its labels.
        parameters: OpenMM's force field file: one that comes with OpenMM, or a path.
        citation: where the parameters are from.
    """

    name: str
    level: str
    parameters: str
    citation: str

    def force_field(self) -> ForceField:
        """OpenMM's ForceField with the parameters."""
        return import_openmm().app.ForceField(self.parameters)


WATER_MODELS: dict[str, WaterModel] = {
    model.name: model
    for model in (
        WaterModel(
            "tip3p",
            "flexible TIP3P",
            "tip3p.xml",
            "Jorgensen et al., J. Chem. Phys. 79, 926 (1983), doi 10.1063/1.445869; flexible terms of CHARMM and AMBER",
        ),
        WaterModel(
            "spcfw",
            "SPC/Fw",
            str(Path(__file__).parent / "data" / "water" / "spcfw.xml"),
            "Wu, Tepper and Voth, J. Chem. Phys. 124, 024503 (2006), doi 10.1063/1.2136877",
        ),
    )
}
"""The water models by name."""


def find_water_model(name: str) -> WaterModel:
    """The water model called name.

    Raises:
        FfptError: there is none.
    """
    if name not in WATER_MODELS:
        raise FfptError(f"there is no water model {name!r}; there are {', '.join(WATER_MODELS)}")
    return WATER_MODELS[name]


def water_topology(n_molecules: int) -> Topology:
    """Residues HOH with the atoms O, H1, H2 and their bonds."""
    app = import_openmm().app
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(n_molecules):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    return topology


def water_teacher(model: str = "tip3p") -> Teacher:
    """One flexible water molecule in vacuum: harmonic bonds and a harmonic angle, nothing else.

    Its atoms are O, H, H; its minimum has the energy zero.

    Args:
        model: a name in WATER_MODELS.

    Raises:
        FfptError: no such model, or OpenMM is not installed.
    """
    chosen, mm, topology = find_water_model(model), import_openmm(), water_topology(1)
    system = chosen.force_field().createSystem(
        topology, nonbondedMethod=mm.app.NoCutoff, constraints=None, rigidWater=False, removeCMMotion=False
    )
    assign_force_groups(system)
    atoms = Atoms("OHH", _minimum(system))
    record = {**_record(chosen, f"water, {chosen.level}"), "smiles": "O", "relaxed_energy_eV": 0.0}
    return Teacher(system, topology, atoms, chosen.level, record)


def water_box(
    model: str = "spcfw", n_molecules: int = 64, density: float = 0.997, cutoff: float = 6.0, seed: int = 0
) -> Teacher:
    """A cubic periodic box of flexible water, its molecules on a lattice, turned at random: not yet a liquid.

    Electrostatics by particle-mesh Ewald with the real-space cutoff; Lennard-Jones with the same cutoff, switched off
    smoothly over the last Angstrom before it, with the correction for what lies beyond in the energy.

    Args:
        model: a name in WATER_MODELS.
        n_molecules: at least one.
        density: g/cm3.
        cutoff: Angstrom; at most half the edge of the box.
        seed: of the orientations.

    Raises:
        FfptError: no such model, no molecules, a density that is not positive, a box too small for the cutoff.
    """
    chosen, mm = find_water_model(model), import_openmm()
    if n_molecules < 1 or not 0 < density < np.inf:
        raise FfptError(f"a box needs molecules and a positive density, not {n_molecules} at {density:g} g/cm3")
    edge = (n_molecules * MOLAR_MASS / (AVOGADRO * density)) ** (1 / 3)
    if not 1.0 < cutoff <= edge / 2:
        raise FfptError(
            f"the cutoff must lie between 1 and {edge / 2:.2f} Angstrom, half the edge of a box of {n_molecules} "
            f"molecules at {density:g} g/cm3; it is {cutoff:g}: take more molecules or another cutoff"
        )
    topology = water_topology(n_molecules)
    topology.setPeriodicBoxVectors(np.eye(3) * edge / NANOMETRE * mm.unit.nanometer)
    system = chosen.force_field().createSystem(
        topology,
        nonbondedMethod=mm.app.PME,
        nonbondedCutoff=cutoff / NANOMETRE,
        switchDistance=(cutoff - 1.0) / NANOMETRE,
        constraints=None,
        rigidWater=False,
        removeCMMotion=False,
    )
    mesh = _fix_mesh(system, edge, cutoff)
    _make_periodic(system)
    assign_force_groups(system)
    atoms = _lattice(_minimum(system), n_molecules, edge, seed)
    record = {
        **_record(chosen, f"{n_molecules} water molecules, {chosen.level}"),
        "density_g_per_cm3": density,
        "edge_A": edge,
        "cutoff_A": cutoff,
        "electrostatics": f"particle-mesh Ewald, tolerance {EWALD_TOLERANCE:g}, {mesh} mesh points along each edge",
        "lennard_jones": f"switched off from {cutoff - 1:g} to {cutoff:g} Angstrom, with the long-range correction",
    }
    return Teacher(system, topology, atoms, chosen.level, record)


def _record(model: WaterModel, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "water_model": model.name,
        "parameters": Path(model.parameters).name,
        "citation": model.citation,
        "versions": versions(["openmm"]),
        "units": {"system.xml": "OpenMM: nm, kJ/mol, amu, e", "relaxed.xyz": "Angstrom"},
    }


def _minimum(system: System) -> np.ndarray:
    """(3, 3) Angstrom: O, H, H at the equilibrium lengths and angle of the System's first molecule."""
    forces = {force.getName(): force for force in system.getForces()}
    length = forces["HarmonicBondForce"].getBondParameters(0)[2]._value * NANOMETRE
    half = forces["HarmonicAngleForce"].getAngleParameters(0)[3]._value / 2
    along, across = length * np.cos(half), length * np.sin(half)
    return np.array([[0.0, 0.0, 0.0], [across, along, 0.0], [-across, along, 0.0]])


def _make_periodic(system: System) -> None:
    """Have bonds, angles and exclusions go to nearest images, so that molecules cut by the box give the same."""
    for force in system.getForces():
        if force.getName() == "NonbondedForce":
            force.setExceptionsUsePeriodicBoundaryConditions(True)
        else:
            force.setUsesPeriodicBoundaryConditions(True)


def _fix_mesh(system: System, edge: float, cutoff: float) -> int:
    """Set the mesh, the same for all platforms: left to them, each takes a size that suits its FFT.

    Args:
        system: with a NonbondedForce.
        edge: of the box, Angstrom.
        cutoff: Angstrom.

    Returns:
        Mesh points along each edge.
    """
    from scipy.fft import next_fast_len

    force = next(force for force in system.getForces() if force.getName() == "NonbondedForce")
    mesh = int(next_fast_len(int(np.ceil(edge / MESH_SPACING))))
    force.setPMEParameters(np.sqrt(-np.log(2 * EWALD_TOLERANCE)) / cutoff * NANOMETRE, mesh, mesh, mesh)
    return mesh


def _lattice(molecule: np.ndarray, n_molecules: int, edge: float, seed: int) -> Atoms:
    """Molecules on a cubic lattice, turned at random; Angstrom."""
    from scipy.spatial.transform import Rotation

    per_edge = int(np.ceil(round(n_molecules ** (1 / 3), 6)))
    places = np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_molecules]
    turns = Rotation.random(n_molecules, rng=np.random.default_rng(seed)).as_matrix()
    centred = molecule - molecule.mean(axis=0)
    positions = (places[:, None] + 0.5) * edge / per_edge + np.einsum("nij,aj->nai", turns, centred)
    cell = np.eye(3) * edge
    wrapped = wrap_molecules(positions.reshape(-1, 3), cell, np.repeat(np.arange(n_molecules), 3))
    return Atoms("OHH" * n_molecules, wrapped, cell=cell, pbc=True)
