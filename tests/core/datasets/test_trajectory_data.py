"""Trajectories as data: what mdtraj reads becomes frames, and what is cut off is refused."""

from __future__ import annotations

from pathlib import Path

import ase.io
import mdtraj
import numpy as np
import pytest
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.data import convert
from ffpt_core.cli.label import label
from ffpt_core.datasets import Dataset, read
from ffpt_core.structure.trajectory_files import load_trajectory

FRAMES = 7


def trajectory(atoms: int, periodic: bool) -> mdtraj.Trajectory:
    """Copper atoms at random places, with a cell that is not right-angled and changes."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("CU", topology.add_chain())
    for index in range(atoms):
        topology.add_atom(f"C{index}", mdtraj.element.copper, residue)
    random = np.random.default_rng(atoms)
    made = mdtraj.Trajectory(random.uniform(0, 2, (FRAMES, atoms, 3)).astype(np.float32), topology)
    made.time = 0.5 * np.arange(1, FRAMES + 1)
    if periodic:
        made.unitcell_lengths = np.linspace(2.0, 2.3, FRAMES)[:, None] * np.array([1.0, 1.1, 1.2])
        made.unitcell_angles = np.tile([90.0, 80.0, 70.0], (FRAMES, 1))
    return made


@pytest.mark.parametrize("suffix", [".dcd", ".xtc", ".trr", ".nc", ".h5", ".pdb"])
@pytest.mark.parametrize("atoms", [3, 24])  # XTC keeps up to nine atoms uncompressed
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.filterwarnings("ignore:.*netCDF4")
def test_positions_and_cells_are_in_angstrom(suffix: str, atoms: int, periodic: bool, tmp_path: Path) -> None:
    made, path = trajectory(atoms, periodic), tmp_path / f"a{suffix}"
    made.save(str(path))
    made[0].save_pdb(tmp_path / "top.pdb")
    dataset = read(path, topology=tmp_path / "top.pdb")
    assert len(dataset) == FRAMES and dataset.energies is None and dataset.groups == {}
    assert dataset.numbers.tolist() == [29] * atoms * FRAMES
    tolerance = {".xtc": 5.1e-3, ".pdb": 5.1e-4}.get(suffix, 2e-6)
    np.testing.assert_allclose(dataset.positions, 10.0 * made.xyz.reshape(-1, 3), rtol=0, atol=tolerance)
    if periodic:
        # A PDB file has one cell, with three decimals.
        vectors = made.unitcell_vectors if suffix != ".pdb" else np.tile(made.unitcell_vectors[0], (FRAMES, 1, 1))
        np.testing.assert_allclose(dataset.cells, 10.0 * vectors, rtol=0, atol=2e-2 if suffix == ".xtc" else 2e-3)
    assert dataset.pbc.all() if periodic else not dataset.pbc.any()


@pytest.mark.parametrize("suffix", [".dcd", ".xtc", ".trr", ".h5"])
@pytest.mark.parametrize("atoms", [3, 24])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_file_that_is_cut_off_is_refused_in_one_line(suffix: str, atoms: int, periodic: bool, tmp_path: Path) -> None:
    made, path = trajectory(atoms, periodic), tmp_path / f"a{suffix}"
    made[0].save_pdb(tmp_path / "top.pdb")
    # XTC and TRR files do not say how many frames they have: there only what ends within a frame can be told.
    ends = set()
    if suffix in (".xtc", ".trr"):
        for frames in range(FRAMES + 1):
            made[:frames].save(str(path)) if frames else path.write_bytes(b"")
            ends.add(path.stat().st_size)
    made.save(str(path))
    whole = path.read_bytes()
    sizes = {*range(1, len(whole), max(1, len(whole) // 25)), len(whole) - 1, len(whole) - 4} - ends
    for size in sizes:
        path.write_bytes(whole[:size])
        with pytest.raises(FfptError) as error:
            read(path, topology=tmp_path / "top.pdb")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    path.write_bytes(whole)
    assert len(read(path, topology=tmp_path / "top.pdb")) == FRAMES


def test_a_cut_off_frame_is_named(tmp_path: Path) -> None:
    made, path = trajectory(24, True), tmp_path / "a.xtc"
    made[0].save_pdb(tmp_path / "top.pdb")
    for suffix, message in ((".xtc", "cut off in frame 6"), (".dcd", "cut off in frame 6 of 7 announced")):
        path = tmp_path / f"a{suffix}"
        made.save(str(path))
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(FfptError, match=message):
            read(path, topology=tmp_path / "top.pdb")
    # A run that is going on, which writes DCD, may be within a frame.
    assert len(load_trajectory(path, tmp_path / "top.pdb", timed=False, growing=True)) == FRAMES - 1
    damaged = bytearray((tmp_path / "a.xtc").read_bytes())
    damaged[:4] = b"what"
    (tmp_path / "a.xtc").write_bytes(damaged)
    with pytest.raises(FfptError, match="is damaged: frame 0 does not begin"):
        read(tmp_path / "a.xtc", topology=tmp_path / "top.pdb")


@pytest.mark.parametrize("suffix", [".nc", ".pdb", ".gro"])
@pytest.mark.filterwarnings("ignore:.*netCDF4")
def test_half_a_file_of_other_formats_is_refused_in_one_line(suffix: str, tmp_path: Path) -> None:
    made, path = trajectory(24, True), tmp_path / f"a{suffix}"
    made[0].save_pdb(tmp_path / "top.pdb")
    made.save(str(path))
    whole = path.read_bytes()
    # Within a line of the third frame of text, within the frames of NetCDF; and where nothing is there yet.
    for size in (0, 30, int(0.35 * len(whole))):
        path.write_bytes(whole[:size])
        with pytest.raises(FfptError, match="cannot read the trajectory") as error:
            read(path, topology=tmp_path / "top.pdb")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_atoms_are_needed_and_are_atoms(tmp_path: Path) -> None:
    made = trajectory(3, False)
    made.save_dcd(tmp_path / "a.dcd")
    with pytest.raises(FfptError, match="holds no atoms: give a topology"):
        read(tmp_path / "a.dcd")
    with pytest.raises(FfptError, match="there is no file"):
        read(tmp_path / "a.dcd", topology=tmp_path / "absent.pdb")
    trajectory(4, False)[0].save_pdb(tmp_path / "four.pdb")
    with pytest.raises(FfptError, match="cannot read the trajectory"):
        read(tmp_path / "a.dcd", topology=tmp_path / "four.pdb")
    site = mdtraj.Topology()
    residue = site.add_residue("HOH", site.add_chain())
    for name, element in (("O", mdtraj.element.oxygen), ("H1", mdtraj.element.hydrogen), ("M", mdtraj.element.virtual)):
        site.add_atom(name, element, residue)
    mdtraj.Trajectory(made.xyz, site).save_hdf5(str(tmp_path / "site.h5"))
    with pytest.raises(FfptError, match="does not say which element atom 2"):
        read(tmp_path / "site.h5")


def test_dcd_and_pdb_are_converted(tmp_path: Path) -> None:
    made = trajectory(5, True)
    made.save_dcd(tmp_path / "a.dcd")
    made[0].save_pdb(tmp_path / "top.pdb")
    convert(tmp_path / "a.dcd", tmp_path / "frames.xyz", topology=tmp_path / "top.pdb", first=1, stride=2)
    frames = ase.io.read(tmp_path / "frames.xyz", index=":")
    assert len(frames) == 3
    np.testing.assert_allclose(frames[1].positions, 10.0 * made.xyz[3], atol=2e-6)
    np.testing.assert_allclose(frames[1].cell.array, 10.0 * made.unitcell_vectors[3], atol=2e-3)
    assert frames[1].get_chemical_symbols() == ["Cu"] * 5


def emt_energies(dataset: Dataset) -> list[float]:
    from ase.calculators.emt import EMT

    energies = []
    for atoms in dataset:
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
    return energies


def test_run_folders_and_ase_trajectories_are_labelled(tmp_path: Path) -> None:
    """From md to label without Python between."""
    copper = Atoms("Cu4", 2.5 * np.eye(4, 3))
    frames = []
    for seed in range(6):
        frames.append(copper.copy())
        frames[-1].rattle(0.1, seed=seed)
    ase.io.write(tmp_path / "a.traj", frames)
    topology = mdtraj.Topology()
    residue = topology.add_residue("CU", topology.add_chain())
    for index in range(4):
        topology.add_atom(f"C{index}", mdtraj.element.copper, residue)
    run = tmp_path / "run"
    run.mkdir()
    for replica in range(2):
        part = np.array([atoms.positions for atoms in frames[3 * replica : 3 * replica + 3]])
        made = mdtraj.Trajectory(part / 10.0, topology)
        made.save_dcd(run / f"trajectory-{replica}.dcd")
        made[0].save_pdb(run / "topology.pdb")
    (run / "run.json").write_text('{"replicas": [{"status": "finished"}, {"status": "finished"}]}')
    label("ase:emt", run, tmp_path / "run.npz", jobs=1)
    label("ase:emt", tmp_path / "a.traj", tmp_path / "traj.npz", jobs=1)
    of_run, of_traj = Dataset.load(tmp_path / "run.npz"), Dataset.load(tmp_path / "traj.npz")
    assert of_run.groups["replica"].tolist() == list("000111")
    np.testing.assert_allclose(of_traj.energies, emt_energies(read(tmp_path / "a.traj")), rtol=0, atol=1e-12)
    np.testing.assert_allclose(of_run.energies, of_traj.energies, rtol=0, atol=1e-5)
