"""The contract of data formats: every registered one, and how a file finds its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from dataset_examples import assert_same, make

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KCAL_PER_MOL, NANOMETRE
from ffpt_core.datasets import FORMATS, Dataset, DatasetWarning, Format, ReadOptions, read, write
from ffpt_core.datasets.files import format_of
from ffpt_core.structure.trajectory_files import load_trajectory

FRAMES, ATOMS = 6, 3
NUMBERS = np.array([8, 1, 1])
RNG = np.random.default_rng(5)
POSITIONS = RNG.normal(size=(FRAMES, ATOMS, 3))
ENERGIES, FORCES = RNG.normal(-400, 1, FRAMES), RNG.normal(size=(FRAMES, ATOMS, 3))


def labelled(level: str = "") -> Dataset:
    return Dataset.from_arrays(NUMBERS, POSITIONS, ENERGIES, FORCES, level=level)


def trajectory():
    import mdtraj

    topology = mdtraj.Topology()
    residue = topology.add_residue("HOH", topology.add_chain())
    for name, number in zip(("O", "H1", "H2"), NUMBERS, strict=True):
        topology.add_atom(name, mdtraj.element.Element.getByAtomicNumber(int(number)), residue)
    return mdtraj.Trajectory((POSITIONS / NANOMETRE).astype(np.float32), topology, time=0.5 * np.arange(1, FRAMES + 1))


def make_extxyz(folder: Path) -> Path:
    ase.io.write(folder / "a.xyz", list(labelled()), format="extxyz", write_results=True)
    return folder / "a.xyz"


def make_npz(folder: Path) -> Path:
    labelled().save(folder / "a.npz")
    return folder / "a.npz"


def make_sgdml(folder: Path) -> Path:
    arrays = {"R": POSITIONS, "z": NUMBERS, "E": ENERGIES / KCAL_PER_MOL, "F": FORCES / KCAL_PER_MOL}
    np.savez(folder / "a.npz", **arrays, e_unit="kcal/mol", r_unit="Ang")
    return folder / "a.npz"


def make_combustion(folder: Path) -> Path:
    padding = [(0, 0), (0, 6 - ATOMS), (0, 0)]
    np.savez(
        folder / "08_nm.npz",
        R=np.pad(POSITIONS, padding),
        Z=np.tile(np.pad(NUMBERS, (0, 3)), (FRAMES, 1)),
        N=np.full((FRAMES, 1), ATOMS),
        E=ENERGIES[:, None] / KCAL_PER_MOL,
        F=np.pad(FORCES / KCAL_PER_MOL, padding),
        RXN=np.full((FRAMES, 1), "08"),
    )
    return folder / "08_nm.npz"


def make_fu_water(folder: Path) -> Path:
    np.savez(
        folder / "a.npz",
        wrapped_coords=POSITIONS,
        atom_types=NUMBERS,
        energy=ENERGIES[:, None] / KCAL_PER_MOL,
        forces=FORCES / KCAL_PER_MOL,
        lengths=np.full(3, 12.0),
        angles=np.full(3, 90.0),
    )
    return folder / "a.npz"


def make_run(folder: Path) -> Path:
    """Two replicas: the second failed at 1.6 ps, with a frame of that time and later ones behind it."""
    run, whole = folder / "run", trajectory()
    run.mkdir()
    whole[0].save_pdb(run / "topology.pdb")
    whole[:3].save_xtc(run / "trajectory-0.xtc")
    late = whole[3:]
    late.time = [1.5, 1.55, 1.58]
    late.join(whole[:2]).save_xtc(run / "trajectory-1.xtc")
    with_failure = load_trajectory(run / "trajectory-1.xtc", run / "topology.pdb")
    with_failure.time = [1.5, 1.55, 1.58, 1.6, 1.62]
    with_failure.save_xtc(run / "trajectory-1.xtc")
    outcomes = [
        {"status": "finished", "time_ps": 3.0},
        {"status": "failed", "time_ps": 1.6, "reason": "bond O0-H1 is 1.80 A, reference 0.96 A"},
    ]
    (run / "run.json").write_text(json.dumps({"replicas": outcomes, "settings": {"temperature": 300.0}}))
    return run


def make_trajectory(folder: Path) -> Path:
    trajectory().save_hdf5(str(folder / "a.h5"))
    return folder / "a.h5"


def make_ase(folder: Path) -> Path:
    ase.io.write(folder / "a.traj", list(labelled()))
    return folder / "a.traj"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "extxyz": make_extxyz,
    "npz": make_npz,
    "sgdml": make_sgdml,
    "combustion": make_combustion,
    "fu-water": make_fu_water,
    "run": make_run,
    "trajectory": make_trajectory,
    "ase": make_ase,
}
"""For each format a file that something else than our writers made, where there is something else."""

UNLABELLED = ("run", "trajectory")


def test_every_format_has_an_example() -> None:
    assert set(MAKERS) == set(FORMATS.names())


@pytest.mark.parametrize("name", FORMATS.names())
def test_a_format_reads_its_files(name: str, tmp_path: Path) -> None:
    """Found by suffix and content, right in eV and Angstrom, and frames chosen as a slice of the whole chooses them."""
    path, known = MAKERS[name](tmp_path), FORMATS.get(name)
    assert known.name == name and known.what
    assert known.takes <= set(ReadOptions.model_fields)
    assert known.sniff(path)
    assert format_of(path) is known
    dataset = read(path)
    # Text of ASE has eight decimals; XTC thousandths of a nanometre; the others float32 or more.
    tolerance = {"extxyz": 1e-8, "run": 6e-3, "trajectory": 1e-6}.get(name, 1e-12)
    assert dataset.positions.dtype == np.float64
    np.testing.assert_allclose(dataset.positions, POSITIONS.reshape(-1, 3), rtol=0, atol=tolerance)
    assert dataset.numbers.tolist() == NUMBERS.tolist() * FRAMES
    if name in UNLABELLED:
        assert dataset.energies is None and dataset.forces is None
    else:
        np.testing.assert_allclose(dataset.energies, ENERGIES, rtol=0, atol=1e-7)
        np.testing.assert_allclose(dataset.forces, FORCES.reshape(-1, 3), rtol=0, atol=1e-7)
    assert read(path, level="here").level == "here"
    assert_same(read(path, format=name), dataset)
    if name == "run":
        assert dataset.groups["replica"].tolist() == list("000111")
        assert_same(read(path, first=1, stride=2), dataset[[1, 4]])
    else:
        assert_same(read(path, first=1, last=5, stride=2), dataset[1:5:2])
    with pytest.raises(FfptError, match=r"no frames from 99 on|has no frames"):
        read(path, first=99)


@pytest.mark.parametrize("name", [name for name, one in FORMATS.all().items() if one.write is not None])
@pytest.mark.parametrize("periodic", [False, True])
def test_what_a_format_writes_it_reads(name: str, periodic: bool, tmp_path: Path) -> None:
    known = FORMATS.get(name)
    for index, suffix in enumerate(known.suffixes):
        path, dataset = tmp_path / f"b{index}{suffix}", make([3, 1, 2], seed=index, periodic=periodic)
        write(dataset, path)
        assert format_of(path) is known
        assert_same(read(path), dataset)


@pytest.mark.parametrize("name", FORMATS.names())
def test_what_a_format_does_not_take_is_refused(name: str, tmp_path: Path) -> None:
    path, known = MAKERS[name](tmp_path), FORMATS.get(name)
    wishes = {"energy_unit": "eV", "length_unit": "nm", "energy_key": "a", "forces_key": "b", "topology": "c.pdb"}
    unknown = set(wishes) - known.takes
    for option in sorted(unknown):
        with pytest.raises(FfptError, match=f"{option} is for .* only") as error:
            read(path, **{option: wishes[option]})
        assert str(path) in str(error.value)
    assert unknown


def test_files_of_no_format_say_what_would_be_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weights=np.zeros(3))
    with pytest.raises(FfptError, match=r"no data set known here: neither ours; .*MD17.*combustion.*Fu et al"):
        read(tmp_path / "a.npz")
    (tmp_path / "notes.thesis").write_text("hello\n")
    with pytest.raises(FfptError, match=r"unknown format '\.thesis'"):
        read(tmp_path / "notes.thesis")
    with pytest.raises(FfptError, match="unknown format 'parquet'"):
        read(tmp_path / "a.npz", format="parquet")
    with pytest.raises(FfptError, match=r"not a run folder: it has no run\.json"):
        read(tmp_path)


@pytest.mark.filterwarnings("ignore::ffpt_core.datasets.DatasetWarning")
def test_a_format_can_be_named(tmp_path: Path) -> None:
    write(labelled(), tmp_path / "a.xyz")
    (tmp_path / "a.xyz").rename(tmp_path / "a.txt")
    for name in ("extxyz", "xyz"):
        assert_same(read(tmp_path / "a.txt", format=name), labelled())


def test_what_other_programs_write_is_read_by_ase(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.json", list(labelled()), format="json")
    np.testing.assert_allclose(read(tmp_path / "a.json").energies, ENERGIES)
    (tmp_path / "broken.json").write_text('{"1": {"numbers": \n')
    with pytest.raises(FfptError, match=r"cannot read .*broken\.json as what ASE calls json") as error:
        read(tmp_path / "broken.json")
    assert "\n" not in str(error.value)


def test_a_format_of_another_package(tmp_path: Path) -> None:
    def read_numbers(path: Path, options: ReadOptions) -> Dataset:
        return Dataset.from_arrays([1], np.loadtxt(path).reshape(-1, 1, 3))

    def write_numbers(dataset: Dataset, path: Path, prefix: str) -> None:
        np.savetxt(path, dataset.positions)

    hydrogen = Dataset.from_arrays([1], RNG.normal(size=(4, 1, 3)))
    mine = Format("mine", "lines of three numbers", (".h1",), read_numbers, Path.is_file, write_numbers)
    with FORMATS.added("mine", mine):
        write(hydrogen, tmp_path / "a.h1")
        assert_same(read(tmp_path / "a.h1", stride=3), hydrogen[::3])
    with pytest.raises(FfptError, match="the suffix must be"):
        write(hydrogen, tmp_path / "b.h1")


def test_options_are_one_record(tmp_path: Path) -> None:
    path = make_sgdml(tmp_path)
    options = ReadOptions(level="CCSD", stride=2)
    assert options.given() == {"level", "stride"}
    assert_same(read(path, options, first=1), read(path, level="CCSD", first=1, stride=2))
    with pytest.raises(FfptError, match="stride: input should be greater than 0, not 0"):
        read(path, stride=0)
    with pytest.raises(TypeError, match="not strid"):
        read(path, strid=2)
    with pytest.raises(FfptError, match="prefix of labels is for extended XYZ only"):
        write(labelled(), tmp_path / "b.npz", "REF_")


def test_a_run_that_is_going_on_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    record["replicas"][1] = {"status": "running", "time_ps": 1.0}
    record["replicas"].append({"status": "waiting", "time_ps": 0.0})
    (run / "run.json").write_text(json.dumps(record))
    with pytest.warns(DatasetWarning, match=r"is not finished \(run/1, run/2\): read as far as it is"):
        assert read(run).groups["replica"].tolist() == list("00011111")
    for file in run.glob("trajectory-*"):
        file.unlink()
    with pytest.raises(FfptError, match="has no frames yet"):
        read(run)
