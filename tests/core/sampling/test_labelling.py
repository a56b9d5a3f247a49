"""Labelling: the same numbers however the work is cut, stopped, killed or spread; failures with names."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT

from ffpt_core import NetworkPotential
from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import Parts
from ffpt_core.datasets import Dataset, write
from ffpt_core.potentials.calculator_potential import CalculatorPotential
from ffpt_core.potentials.sources import TBLITE_ACCURACY, open_potential
from ffpt_core.sampling.labelling import Job, label
from ffpt_core.sampling.labelling_chunks import label_chunk
from ffpt_core.sampling.rattle import rattle, rattle_and_label
from ffpt_core.teachers import aspirin
from ffpt_core.teachers.systems import to_xml

ROOT = Path(__file__).resolve().parents[3]


def water_frames(n_frames: int, sigma: float = 0.05) -> Dataset:
    water = molecule("H2O")
    return Dataset.from_arrays(water.numbers, rattle(water.positions, n_frames, sigma))


@pytest.fixture
def frames() -> Dataset:
    """20 frames: three chunks of EMT."""
    return water_frames(20)


def emt(frames: Dataset) -> tuple[np.ndarray, np.ndarray]:
    energies, forces = [], []
    for atoms in frames:
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return np.array(energies), np.concatenate(forces)


# ---- potentials by name


def test_charge_and_multiplicity_where_they_mean_something() -> None:
    data = water_frames(1)
    for source in ("aspirin", "ase:emt"):
        with pytest.raises(FfptError, match="charge"):
            label(Job(data, source, charge=1), quiet=True)
    with pytest.raises(FfptError, match="multiplicity"):
        label(Job(data, "tblite:GFN2-xTB", multiplicity=0), quiet=True)


def test_pyscf_forces_are_minus_the_gradient() -> None:
    pytest.importorskip("pyscf")
    atoms = molecule("H2O")
    atoms.positions += 0.05 * np.random.default_rng(0).standard_normal((3, 3))
    atoms.calc = open_potential("pyscf:HF/sto-3g").calculator()
    forces, step, energies = atoms.get_forces(), 1e-3, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 2] += sign * step
        moved.calc = open_potential("pyscf:HF/sto-3g").calculator()
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(forces[1, 2], abs=1e-4)


@pytest.mark.parametrize(("charge", "multiplicity"), [(1, 1), (0, 2), (0, 13), (-1, 1)])
def test_electrons_that_cannot_have_the_multiplicity(charge: int, multiplicity: int) -> None:
    pytest.importorskip("tblite")
    with pytest.raises(FfptError, match=r"frame 0: \d+ electrons .* cannot have multiplicity"):
        label(Job(water_frames(1), "tblite:GFN2-xTB", charge, multiplicity), quiet=True)


def test_pyscf_charge_and_spin() -> None:
    pytest.importorskip("pyscf")
    atoms = molecule("OH")
    # UHF/STO-3G of the OH radical at 0.9706 Angstrom; a doublet is below the quartet by several eV.
    energies = {}
    for multiplicity in (2, 4):
        atoms.calc = open_potential("pyscf:HF/sto-3g", multiplicity=multiplicity).calculator()
        energies[multiplicity] = atoms.get_potential_energy()
    assert energies[2] < energies[4] - 2
    atoms.calc = open_potential("pyscf:HF/sto-3g").calculator()
    with pytest.raises(FfptError, match="pyscf refuses the molecule"):
        atoms.get_potential_energy()
    atoms.calc = open_potential("pyscf:HF/sto-3g?charge=-1").calculator()
    assert np.isfinite(atoms.get_potential_energy())


# ---- labels


def test_labels_are_the_calculators_in_the_order_of_the_frames(frames: Dataset, tmp_path: Path) -> None:
    energies, forces = emt(frames)
    for jobs in (1, 2):
        out = label(Job(frames, "ase:emt"), tmp_path / f"{jobs}.npz", jobs=jobs, quiet=True)
        np.testing.assert_array_equal(out.energies, energies)
        np.testing.assert_array_equal(out.forces, forces)
        np.testing.assert_array_equal(out.positions, frames.positions)
        assert out.level == "emt"
        assert Dataset.load(tmp_path / f"{jobs}.npz").fingerprint == out.fingerprint
        assert not Parts(tmp_path / f"{jobs}.npz").folder.exists()
    record = json.loads((tmp_path / "1.json").read_text())
    assert record["calculator"] == "ase:emt"
    assert record["input"]["frames"] == 20


def test_frames_of_different_size_with_a_cell() -> None:
    from ase.build import bulk

    mixed = Dataset.from_atoms([molecule("H2O"), bulk("Cu", cubic=True), molecule("CO")])
    out = label(Job(mixed, "ase:emt"), quiet=True)
    np.testing.assert_array_equal(out.energies, emt(mixed)[0])
    assert out.pbc[1].all()
    np.testing.assert_array_equal(out.cells, mixed.cells)


def test_a_teacher_labels_as_rattling_does() -> None:
    data = rattle_and_label(aspirin(), 30)
    out = label(Job(data, "teacher:aspirin"), quiet=True)
    np.testing.assert_array_equal(out.energies, data.energies)
    np.testing.assert_array_equal(out.forces, data.forces)
    assert out.level == "GAFF-2.11"


def test_a_potential_labels(potential: NetworkPotential, tmp_path: Path) -> None:
    potential.save(tmp_path / "model.pt")
    data = water_frames(5)
    out = label(Job(data, str(tmp_path / "model.pt")), quiet=True)
    energy, forces = potential.energy_and_forces(data[3])
    assert out.energies[3] == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(out[3].get_forces(), forces, atol=1e-10)


def test_tblite_labels_do_not_depend_on_the_frames_before() -> None:
    pytest.importorskip("tblite")
    data = water_frames(5, sigma=0.1)
    whole = label(Job(data, "tblite:GFN2-xTB"), quiet=True)
    last = label(Job(data[4:], "tblite:GFN2-xTB"), quiet=True)
    assert whole.energies[4] == last.energies[0]
    np.testing.assert_array_equal(whole.forces[-3:], last.forces)
    # GFN2-xTB of water, -5.0703 hartree at its minimum.
    assert whole.energies.min() == pytest.approx(-137.9, abs=0.7)
    ion = label(Job(data[:1], "tblite:GFN2-xTB", charge=1, multiplicity=2), quiet=True)
    assert ion.energies[0] > whole.energies[0] + 5


# ---- failures


class Fragile(Calculator):
    """EMT that fails where the first atom lies beyond x = 100 and gives NaN beyond x = 50."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        place = self.atoms.positions[0, 0]
        if place > 100:
            raise CalculationFailed("SCF did not converge\nafter 50 cycles")
        value = np.nan if place > 50 else float(self.atoms.positions.sum())
        self.results = {"energy": value, "forces": np.ones((len(self.atoms), 3))}


@pytest.fixture
def fragile() -> CalculatorPotential:
    return CalculatorPotential(Fragile, "fragile", "", remembers=True)


def broken(frames: Dataset, where: dict[int, float]) -> Dataset:
    positions = frames.positions.reshape(len(frames), -1, 3).copy()
    for index, place in where.items():
        positions[index, 0, 0] = place
    return Dataset.from_arrays(frames.numbers[:3], positions)


@pytest.mark.parametrize(
    ("place", "message"),
    [(200.0, "frame 17: Fragile failed: SCF did not converge after 50 cycles"), (60.0, "frame 17: .*nan")],
)
def test_a_failed_frame_is_named_and_the_others_are_kept(
    fragile: CalculatorPotential, frames: Dataset, tmp_path: Path, place: float, message: str
) -> None:
    job = Job(broken(frames, {17: place}), fragile)
    with pytest.raises(FfptError, match=message):
        label(job, tmp_path / "out.npz", quiet=True)
    assert not (tmp_path / "out.npz").exists()
    assert len(list(Parts(tmp_path / "out.npz").folder.glob("0*.npz"))) == 2  # the two chunks before


def test_failed_frames_can_be_left_out(fragile: CalculatorPotential, frames: Dataset, tmp_path: Path) -> None:
    job = Job(broken(frames, {2: 200.0, 17: 60.0}), fragile, skip_failed=True)
    out = label(job, tmp_path / "out.npz", quiet=True)
    kept = [index for index in range(20) if index not in (2, 17)]
    assert len(out) == 18
    np.testing.assert_array_equal(out.positions, job.frames[np.array(kept)].positions)
    np.testing.assert_array_equal(out.energies, [job.frames[index].positions.sum() for index in kept])
    assert set(json.loads((tmp_path / "out.json").read_text())["failed"]) == {"2", "17"}
    everything = Job(broken(frames, dict.fromkeys(range(20), 200.0)), fragile, skip_failed=True)
    with pytest.raises(FfptError, match="all 20 frames failed; frame 0"):
        label(everything, quiet=True)


def test_a_failure_in_a_worker_process_is_named(tmp_path: Path) -> None:
    alien = Dataset.from_arrays([92, 1, 1], water_frames(20).positions.reshape(20, 3, 3))
    with pytest.raises(FfptError, match=r"frame \d+: EMT failed: No EMT-potential for U"):
        label(Job(alien, "ase:emt"), tmp_path / "out.npz", jobs=2, quiet=True)


# ---- stopped, killed, continued


def test_work_of_another_input_is_refused(frames: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    job = Job(frames, "ase:emt")
    folder = Parts(output).folder
    folder.mkdir()
    (folder / "input.json").write_text(json.dumps(job.identity()))
    with pytest.raises(FfptError, match=r"unfinished work of another input \(its frames and fingerprint differ\)"):
        label(Job(frames[:5], "ase:emt"), output, quiet=True)
    finished = label(job, output, quiet=True)
    assert label(job, output, quiet=True).fingerprint == finished.fingerprint  # nothing left to do
    with pytest.raises(FfptError, match="comes from another input"):
        label(Job(frames[:5], "ase:emt"), output, quiet=True)


def test_finished_chunks_are_not_calculated_again(frames: Dataset, tmp_path: Path, monkeypatch) -> None:
    output, job = tmp_path / "out.npz", Job(frames, "ase:emt")
    seen: list[int] = []

    def stopping(chunk):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(chunk.first)
        return label_chunk(chunk)

    monkeypatch.setattr("ffpt_core.sampling.labelling.label_chunk", stopping)
    with pytest.raises(KeyboardInterrupt):
        label(job, output, quiet=True)
    (Parts(output).folder / "000000000.npz").write_bytes(b"PK\x03\x04 damaged")
    seen.clear()
    resumed = label(job, output, quiet=True)
    assert seen == [0, 16]  # the damaged chunk and the missing one
    np.testing.assert_array_equal(resumed.energies, emt(frames)[0])


@pytest.mark.parametrize(
    ("source", "charge", "name"),
    [
        ("ase:emt", 0, "ase:emt"),
        ("tblite:GFN2-xTB", 2, f"tblite:GFN2-xTB charge 2 multiplicity 1 accuracy {TBLITE_ACCURACY}"),
        ("pyscf:HF/sto-3g", 2, "pyscf:HF/sto-3g charge 2 multiplicity 1"),
        ("file", 0, "potential {file}"),
        ("teacher", 0, "teacher {system}"),
    ],
)
def test_work_of_an_earlier_ffpt_goes_on(
    potential: NetworkPotential, tmp_path: Path, source: str, charge: int, name: str
) -> None:
    """Its record names the calculator where that of today has a fingerprint."""
    if source.startswith(("tblite", "pyscf")):
        pytest.importorskip(source.partition(":")[0])
    data, output = water_frames(2), tmp_path / "out.npz"
    if source == "file":
        source = str(tmp_path / "model.pt")
        potential.save(source)
        name = name.format(file=hashlib.sha256(Path(source).read_bytes()).hexdigest())
    elif source == "teacher":
        source, teacher = "teacher:aspirin", aspirin()
        data = Dataset.from_arrays(teacher.numbers, rattle(teacher.atoms.positions, 2))
        name = name.format(system=hashlib.sha256(to_xml(teacher.system).encode()).hexdigest())
    job = Job(data, source, charge)
    parts = Parts(output)
    before = {key: value for key, value in job.identity().items() if key != "potential"} | {"calculator": name}
    parts.claim(before)
    size = before["chunk"]
    parts.write(
        "000000000",
        energies=np.full(min(size, 2), 42.0),
        forces=np.full((len(data.numbers) if size > 1 else len(data.numbers) // 2, 3), 0.5),
        failed=np.empty(0, dtype=int),
        reasons=np.empty(0, dtype=str),
    )
    assert label(job, output, quiet=True).energies[0] == 42.0  # not calculated again
    assert json.loads((tmp_path / "out.json").read_text())["input"] == before
    assert label(job, output, quiet=True).energies[0] == 42.0  # nor when it is finished
    with pytest.raises(FfptError, match="comes from another input"):
        label(Job(data[:1], source, charge), output, quiet=True)


def workers_of(process: subprocess.Popen) -> list[int]:
    """Process ids of joblib's workers under a process."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_a_killed_run_continues_and_ends_the_same(tmp_path: Path) -> None:
    """SIGKILL in the middle, then the same command; the file is byte for byte what an unbroken run writes."""
    pytest.importorskip("tblite")
    frames = rattle_and_label(aspirin(), 128, 0.05)
    frames.save(tmp_path / "frames.npz")
    output = tmp_path / "out.npz"
    code = "import typer; from ffpt_core.cli.label import label; typer.run(label)"
    arguments = ["tblite:GFN2-xTB", str(tmp_path / "frames.npz"), "-o", str(output), "--jobs", "2"]
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while len(list(Parts(output).folder.glob("0*.npz"))) < 2 and time.monotonic() < deadline:
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    workers = workers_of(first)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not output.exists()
    assert 2 <= len(list(Parts(output).folder.glob("0*.npz"))) < 8
    subprocess.run(command, env=environment, check=True, capture_output=True)
    label(Job(frames, "tblite:GFN2-xTB"), tmp_path / "unbroken.npz", quiet=True)
    assert output.read_bytes() == (tmp_path / "unbroken.npz").read_bytes()
    assert len(workers) == 2
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)  # they did not outlive the kill


# ---- the command


def test_the_command(frames: Dataset, tmp_path: Path) -> None:
    from ffpt_core.cli.label import label as command

    write(frames, tmp_path / "frames.xyz")
    command("ase:emt", tmp_path / "frames.xyz", tmp_path / "out.npz", jobs=1)
    out = Dataset.load(tmp_path / "out.npz")
    np.testing.assert_allclose(out.energies, emt(frames)[0], atol=1e-5)  # text has few digits
    with pytest.raises(FfptError, match=r"written as \.npz"):
        command("ase:emt", tmp_path / "frames.xyz", tmp_path / "out.xyz")
    with pytest.raises(FfptError, match="no potential 'nonsense'"):
        command("nonsense", tmp_path / "frames.xyz", tmp_path / "b.npz")
