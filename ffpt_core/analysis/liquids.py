"""What analyses of liquids ask of a trajectory: a cell, molecules, even times, water."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure import periodic
from ffpt_core.structure.graph import find_bonds, molecules

if TYPE_CHECKING:
    import mdtraj

    from ffpt_core.datasets import Dataset


def cells(trajectory: mdtraj.Trajectory) -> np.ndarray:
    """(n_frames, 3, 3) lattice vectors in Angstrom.

    Raises:
        FfptError: the trajectory has no cell.
    """
    vectors = trajectory.unitcell_vectors
    if vectors is None or not np.all(np.abs(np.linalg.det(vectors)) > 0):
        raise FfptError("the trajectory has no cell: give the edges of its box in Angstrom")
    return NANOMETRE * np.asarray(vectors, dtype=float)


def half_width(trajectory: mdtraj.Trajectory) -> float:
    """Half the shortest distance between opposite faces of the cell, over all frames, in Angstrom.

    Up to there the nearest image of an atom is the only one, so that spheres can be counted whole.
    """
    return float(periodic.half_width(cells(trajectory)).min())


def symbols(topology: mdtraj.Topology) -> np.ndarray:
    """(n_atoms,) chemical symbols; "VS" for virtual sites."""
    return np.array([atom.element.symbol for atom in topology.atoms])


def molecule_labels(trajectory: mdtraj.Trajectory) -> np.ndarray:
    """(n_atoms,) equal numbers for atoms of one molecule, by the topology's bonds or else those of the first frame."""
    bonds = [(bond[0].index, bond[1].index) for bond in trajectory.topology.bonds]
    if bonds:
        return molecules(trajectory.n_atoms, np.array(bonds))
    vectors = trajectory.unitcell_vectors
    cell = None if vectors is None else NANOMETRE * vectors[0]
    numbers = [atom.element.atomic_number for atom in trajectory.topology.atoms]
    frame = Atoms(numbers, positions=NANOMETRE * trajectory.xyz[0], cell=cell, pbc=cell is not None)
    return molecules(trajectory.n_atoms, find_bonds(frame))


def water_molecules(trajectory: mdtraj.Trajectory) -> np.ndarray:
    """(n_molecules, 3) indices of the oxygen and the two hydrogens of each water molecule.

    Raises:
        FfptError: some molecule is not water.
    """
    elements, labels = symbols(trajectory.topology), molecule_labels(trajectory)
    found = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        real = members[elements[members] != "VS"]
        ordered = real[np.argsort(elements[real] == "H", kind="stable")]
        if elements[ordered].tolist() != ["O", "H", "H"]:
            formula = "".join(sorted(elements[real].tolist()))
            raise FfptError(f"this needs water, but the molecule of atom {members[0]} is {formula}")
        found.append(ordered)
    return np.array(found)


def frame_spacing(trajectory: mdtraj.Trajectory) -> float:
    """ps between frames.

    Raises:
        FfptError: fewer than two frames, or frames that are not evenly spaced.
    """
    times = np.asarray(trajectory.time, dtype=float)
    if len(times) < 2:
        raise FfptError("the trajectory has fewer than two frames")
    steps = np.diff(times)
    spacing = float(times[-1] - times[0]) / len(steps)
    # Times are single precision in several formats.
    if spacing <= 0 or np.any(np.abs(steps - spacing) > 0.01 * spacing + 1e-6 * np.abs(times[-1])):
        raise FfptError(
            f"the frames are not evenly spaced in time ({steps.min():g} to {steps.max():g} ps apart): "
            "give the time between frames, or a trajectory without gaps"
        )
    return spacing


def same_system(trajectories: Any) -> list[mdtraj.Trajectory]:
    """One trajectory, or several of one system, as a list.

    Raises:
        FfptError: no frames, or replicas of different systems.
    """
    replicas = list(trajectories) if isinstance(trajectories, list | tuple) else [trajectories]
    if not replicas or not all(len(one) for one in replicas):
        raise FfptError("there is a trajectory without frames" if replicas else "there is no trajectory")
    first = symbols(replicas[0].topology)
    if not all(np.array_equal(symbols(one.topology), first) for one in replicas[1:]):
        raise FfptError("the replicas are of different systems: their atoms differ")
    return replicas


def dataset_trajectory(dataset: Dataset) -> mdtraj.Trajectory:
    """The frames of a data set of one periodic system as a trajectory, with bonds as in its first frame.

    Frames of a data set have no times: they are numbered.

    Raises:
        FfptError: its frames differ in their atoms, or are not periodic.
    """
    import mdtraj

    from ffpt_core.analysis.structure import dataset_frames

    positions, boxes = dataset_frames(dataset)
    if boxes is None:
        raise FfptError("the frames of the data set have no cell")
    numbers = dataset.numbers[: positions.shape[1]]
    topology = mdtraj.Topology()
    residue = topology.add_residue("SYS", topology.add_chain())
    members = [
        topology.add_atom(f"{index}", mdtraj.element.Element.getByAtomicNumber(int(number)), residue)
        for index, number in enumerate(numbers)
    ]
    for first, second in find_bonds(Atoms(numbers, positions=positions[0], cell=boxes[0], pbc=True)):
        topology.add_bond(members[first], members[second])
    trajectory = mdtraj.Trajectory(positions / NANOMETRE, topology)
    trajectory.unitcell_vectors = np.asarray(boxes) / NANOMETRE
    return trajectory
