"""Molecules told from bonds: known geometries, permutations, rotations, and what each reaction allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import mdtraj
import numpy as np
import openmm as mm
import pytest
from commands import run_command
from hypothesis import given
from hypothesis import strategies as st
from openmm import app
from scipy.spatial.transform import Rotation

from ffpt_core.analysis import Criterion
from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.qforce.species_teachers import species_teacher
from ffpt_openmm import StabilityReporter, UnphysicalFrameError
from ffpt_openmm.md.guard import Unphysical, write_outcome
from ffpt_plumed.cli.species import species
from ffpt_plumed.reactions.records import REACTIONS, reaction
from ffpt_plumed.reactions.species import SpeciesCount, SpeciesCriterion, allowed_species, count_species, species_of
from ffpt_plumed.reactions.species_plot import plot_species
from ffpt_plumed.reactions.species_runs import ReplicaSpecies, Stop, pooled
from ffpt_plumed.reactions.structures import starting_structure

numbers = pytest.mark.parametrize("number", list(REACTIONS))


@numbers
def test_starting_structures_are_their_molecules(number: str) -> None:
    found = REACTIONS[number]
    for state in (found.reactants, found.products):
        positions = starting_structure(found, state).positions[None]
        expected = " + ".join(sorted(molecule.species for molecule in state))
        assert species_of(found.symbols, positions)[0] == expected
        assert expected in allowed_species(found)
        assert SpeciesCriterion.from_reaction(found).check(positions) is None


@given(seed=st.integers(0, 10_000))
def test_species_do_not_depend_on_order_or_orientation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = np.array(["H", "O", "O", "H", "H", "O"])
    positions = rng.uniform(-1.5, 1.5, (5, 6, 3))
    order = rng.permutation(6)
    turned = positions @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    expected = species_of(list(symbols), positions)
    assert list(species_of(list(symbols[order]), turned[:, order])) == list(expected)


def test_a_molecule_that_falls_apart() -> None:
    found = reaction(9)
    start = starting_structure(found)
    frames = np.stack([start.positions] * 4)
    frames[1, 2] += [0, 0, 5.0]  # H leaves: allowed
    frames[2, 1] += [0, 0, 5.0]  # O leaves: not
    frames[3] *= 5.0
    counted = count_species(found, frames, np.array([0.0, 1.0, 2.0, 3.0]))
    assert list(counted.species) == ["HO2", "H + O2", "O + OH", "H + O + O"]
    assert list(counted.unphysical) == [False, False, True, True]
    record = counted.to_dict()
    assert record["first_unphysical_ps"] == 2.0 and record["unphysical_fraction"] == 0.5
    assert record["allowed"] == ["H + O2", "HO2"]
    failure = SpeciesCriterion.from_reaction(found).check(frames)
    assert failure is not None and failure.frame == 2 and "O + OH" in failure.reason
    frames[1, 0, 0] = np.nan
    failure = SpeciesCriterion.from_reaction(found).check(frames)
    assert failure is not None and failure.frame == 1 and "finite" in failure.reason


def test_what_reactions_allow() -> None:
    assert allowed_species(reaction(3)) == {"H2 + OH", "H + H2O", "H3O"}
    assert allowed_species(reaction(14)) == {"HO2 + HO2", "H2O2 + O2", "H2O4"}
    assert allowed_species(reaction(15)) == {"H2O2", "OH + OH"}


def test_wrong_input() -> None:
    with pytest.raises(FfptError, match="not for C"):
        species_of(["C"], np.zeros((1, 1, 3)))
    with pytest.raises(FfptError, match="shape"):
        species_of(["H", "O"], np.zeros((1, 3, 3)))
    with pytest.raises(FfptError, match="no frames"):
        count_species(reaction(9), np.zeros((0, 3, 3)), np.zeros(0))


@given(data=st.data())
def test_pooled_fractions_over_time(data: st.DataObject) -> None:
    """Against a count of all frames up to each time; replicas have frames at equal times, and end at different ones."""
    allowed = frozenset({"HO2", "H + O2"})
    frames = st.lists(st.sampled_from(["HO2", "H + O2", "O + OH", "H + O + O"]), min_size=1, max_size=12)
    replicas = []
    for index, names in enumerate(data.draw(st.lists(frames, min_size=1, max_size=3))):
        times = 0.5 * np.arange(1, len(names) + 1)
        replicas.append(ReplicaSpecies(str(index), SpeciesCount(np.array(names), allowed, times)))
    found = pooled(replicas)
    everything = [
        (time, name) for one in replicas for time, name in zip(one.count.times, one.count.species, strict=True)
    ]
    assert sorted(zip(found.times, found.species, strict=True)) == sorted(everything)
    for time, fraction in zip(found.times, found.unphysical_until, strict=True):
        until = [name not in allowed for when, name in everything if when <= time]
        assert fraction == pytest.approx(np.mean(until))
    assert found.unphysical_until[-1] == found.to_dict()["unphysical_fraction"]


def torn_apart(*bond: int) -> app.Simulation:
    """HO2 of the Q-Force teacher with a bond pulled at by a constant force, of 8,000 kJ/mol/nm: more than it holds."""
    teacher = species_teacher("HO2")
    system = mm.XmlSerializer.clone(teacher.system)
    pull = mm.CustomBondForce("-8000*r")
    pull.addBond(*bond)
    system.addForce(pull)
    reference = mm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(teacher.topology, system, mm.VerletIntegrator(0.0002), reference)
    simulation.context.setPositions(teacher.atoms.positions / 10)
    return simulation


def positions_of(simulation: app.Simulation) -> np.ndarray:
    return 10 * simulation.context.getState(positions=True).getPositions(asNumpy=True)._value


def test_the_guard_stops_where_a_molecule_fell_apart(tmp_path: Path) -> None:
    criterion: Criterion = SpeciesCriterion.from_reaction(reaction(9))
    free = torn_apart(0, 1)
    names = []
    for _ in range(200):
        names.append(species_of(criterion.symbols, positions_of(free)[None])[0])
        free.step(1)
    first = names.index("O + OH")
    assert first > 10 and set(names[:first]) == {"HO2"}
    for interval in (1, 7):
        simulation = torn_apart(0, 1)
        guard = StabilityReporter(criterion, interval, tmp_path / "failure.xyz")
        simulation.reporters.append(guard)
        with pytest.raises(UnphysicalFrameError, match=r"species O \+ OH, none of H \+ O2, HO2"):
            guard.run(simulation, 200)
        expected = interval * -(-first // interval)  # the first that is looked at
        assert guard.outcome is not None and guard.outcome.step == expected == simulation.currentStep
        assert guard.outcome.time == pytest.approx(0.0002 * expected)
        written = ase.io.read(tmp_path / "failure.xyz")
        assert species_of(written.get_chemical_symbols(), written.positions[None])[0] == "O + OH"


def test_the_guard_lets_a_reaction_happen() -> None:
    """The H of HO2 leaves."""
    simulation = torn_apart(0, 2)
    simulation.reporters.append(StabilityReporter(SpeciesCriterion.from_reaction(reaction(9)), 1))
    simulation.step(60)
    assert species_of(["O", "O", "H"], positions_of(simulation)[None])[0] == "H + O2"


HO2 = starting_structure(reaction(9)).positions
FRAMES = {
    "HO2": HO2,
    "H + O2": HO2 + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 4]]),
    "O + OH": HO2 + np.array([[0, 0, 0], [0, 0, 4], [0, 0, 0]]),
}


def write_run(folder: Path, replicas: list[list[str]], source: str, stops: dict[int, Unphysical] | None = None) -> Path:
    """A folder as ffpt metad --reaction 9 leaves it, 0.5 ps between frames; stops are the ends of some replicas."""
    folder.mkdir()
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for symbol in ("O", "O", "H"):
        topology.add_atom(symbol, mdtraj.element.get_by_symbol(symbol), residue)
    mdtraj.Trajectory(FRAMES["HO2"][None] / 10, topology).save_pdb(folder / "topology.pdb")
    outcomes: list[dict[str, Any]] = []
    for index, names in enumerate(replicas):
        times = 0.5 * np.arange(1, len(names) + 1)
        if names:
            positions = np.stack([FRAMES[name] for name in names]) / 10
            mdtraj.Trajectory(positions, topology, time=times).save_hdf5(folder / f"trajectory-{index}.h5")
        stop = (stops or {}).get(index)
        if stop is None:
            outcomes.append({"status": "finished", "time_ps": times[-1], "reason": ""})
        else:
            write_outcome(folder / f"failure-{index}.xyz", stop, ("O", "O", "H"))
            outcomes.append({"status": "failed", "time_ps": stop.time, "reason": stop.reason})
    (folder / "run.json").write_text(json.dumps({"bias": {"source": source}, "replicas": outcomes}))
    return folder


def stop_at(time: float, name: str, frame_time: float | None = None) -> Unphysical:
    return Unphysical("stopped", 1, time, FRAMES[name], None, time if frame_time is None else frame_time, None)


def test_runs_on_disk(tmp_path: Path) -> None:
    scratch = write_run(
        tmp_path / "scratch",
        [["HO2"] * 3 + ["O + OH"], ["HO2"] * 2, [], ["HO2"] * 2],
        "reaction 9 by native in openmm",
        {1: stop_at(1.2, "O + OH"), 2: stop_at(0.3, "O + OH"), 3: stop_at(1.2, "HO2", frame_time=1.0)},
    )
    tuned = write_run(tmp_path / "tuned", [["HO2", "H + O2", "HO2", "HO2"]], "plumed.dat by native in openmm")
    # The reaction is that of the first run.
    run_command(species, f"from scratch={scratch}", tuned, "-o", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "species.json").read_text())
    assert record["reaction"] == "9" and record["allowed"] == ["H + O2", "HO2"]
    finished, guarded, early, lost = record["runs"]["from scratch"]["replicas"]
    assert finished["first_unphysical_ps"] == 2.0 and finished["unphysical_fraction"] == 0.25
    assert finished["stopped"] is None
    # The guard's frame counts, but not the one before it that stands for coordinates that are not finite.
    assert guarded["fractions"] == pytest.approx({"HO2": 2 / 3, "O + OH": 1 / 3})
    assert guarded["first_unphysical_ps"] == 1.2 and guarded["stopped"] == {"time_ps": 1.2, "reason": "stopped"}
    assert early["n_frames"] == 1 and early["first_unphysical_ps"] == 0.3
    assert lost["fractions"] == {"HO2": 1.0} and lost["stopped"]["time_ps"] == 1.2
    together = record["runs"]["from scratch"]["pooled"]
    assert together["n_frames"] == 10 and together["n_stopped"] == 3 and together["first_unphysical_ps"] == 0.3
    assert together["unphysical_fraction"] == together["unphysical_fraction_until"][-1] == pytest.approx(0.3)
    assert together["until_ps"][0] == 0.3 and together["unphysical_fraction_until"][0] == 1.0
    assert record["runs"]["tuned"]["pooled"]["fractions"] == {"HO2": 0.75, "H + O2": 0.25}
    assert (tmp_path / "out" / "species.png").stat().st_size > 10_000


def test_wrong_runs(tmp_path: Path) -> None:
    ours = write_run(tmp_path / "a", [["HO2"]], "plumed.dat by native in openmm")
    with pytest.raises(FfptError, match="give its number with --reaction"):
        run_command(species, ours, "-o", tmp_path / "out")
    one = write_run(tmp_path / "b", [["HO2"]], "reaction 1 by plumed in ase")
    nine = write_run(tmp_path / "c", [["HO2"]], "reaction 9 by plumed in ase")
    with pytest.raises(FfptError, match="reactions 1 and 9"):
        run_command(species, one, nine, "-o", tmp_path / "out")
    with pytest.raises(FfptError, match="reaction 2 is of the atoms H O H in this order, a/0 has O O H"):
        run_command(species, ours, "--reaction", "2", "-o", tmp_path / "out")
    broken = write_run(tmp_path / "d", [[]], "reaction 9 by plumed in ase", {0: stop_at(1.0, "HO2")})
    (broken / "failure-0.xyz").write_text("3\n\nO 0 0 0\n")
    with pytest.raises(FfptError, match="cannot read the frame that stopped d/0"):
        run_command(species, broken, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_single_unphysical_frames_are_seen_in_the_picture() -> None:
    """One frame of 20,000, which a column of 40 frames would hide if it showed what most of them are."""
    names = np.array(["HO2"] * 20_000, dtype="<U6")
    names[7_777] = "O + OH"
    times = 0.01 * np.arange(1, 20_001)
    count = SpeciesCount(names, allowed_species(reaction(9)), times)
    above, below = plot_species({"a": [ReplicaSpecies("a/0", count, Stop(200.0, "at its end"))]}).axes
    shown = above.collections[0].get_array()
    assert shown.sum() == 1 and shown[-1, 7_777 // 40] == 1
    assert below.lines[0].get_ydata()[-1] == pytest.approx(100 / 20_000)
