"""Stability of liquids by each criterion, planted at known frames; bonds and angles of water; files without times."""

from __future__ import annotations

from pathlib import Path

import mdtraj
import numpy as np
import pytest
from liquid_examples import EDGE, trajectory, water, write

from ffpt_core.analysis import (
    StabilityCriterion,
    drift_reference,
    liquid_failures,
    radial_distributions,
    rdf_drift,
    water_geometry,
)
from ffpt_core.analysis.liquid_stability import LiquidFailures, plot_drift, replica_liquid_failures
from ffpt_core.analysis.rdf import RadialDistribution
from ffpt_core.analysis.trajectories import criterion_for
from ffpt_core.analysis.water import ANGLE_EDGES, BOND_EDGES, plot_water_geometry
from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.run_folders import Replica
from ffpt_core.structure.trajectory_files import load_trajectory


def liquid(n_frames: int = 40, seed: int = 1) -> mdtraj.Trajectory:
    return water(n_frames, seed=seed)


@pytest.fixture(scope="module")
def reference() -> dict[str, RadialDistribution]:
    return drift_reference(liquid(200, seed=9))


@pytest.fixture(scope="module")
def criterion() -> StabilityCriterion:
    box = liquid(1)
    return StabilityCriterion.from_topology(box.topology, 10.0 * box.xyz[0], EDGE * np.eye(3), min_distance=1.2)


def failing(box: mdtraj.Trajectory, criterion: StabilityCriterion, reference: dict) -> LiquidFailures:
    return liquid_failures(box, criterion, reference, name="box")


def censored(found: LiquidFailures) -> dict[str, bool]:
    return {name: failure.censored for name, failure in found.by_criterion.items()}


def test_a_healthy_liquid_is_watched_to_its_end(criterion: StabilityCriterion, reference: dict) -> None:
    found = failing(liquid(), criterion, reference)
    assert all(censored(found).values())
    assert found.first.censored and found.first.time == pytest.approx(4.0)
    assert found.drift.n_frames == 10 and len(found.drift.starts) == 31
    # It differs from the reference by its few frames only, and is as far off as chance has it; in bonds, which do not
    # move here, by less.
    assert np.mean(found.drift.errors["O-O"]) == pytest.approx(found.drift.floors["O-O"], rel=0.25)


def test_a_planted_long_bond(criterion: StabilityCriterion, reference: dict) -> None:
    box = liquid()
    box.xyz[23:, 4] += 0.055 * (box.xyz[23:, 4] - box.xyz[23:, 3]) / 0.1
    found = failing(box, criterion, reference)
    assert censored(found) == {"bonds": False, "contacts": True, "rdf": True}
    assert (found.first.frame, found.first.reason[:17]) == (23, "bond O3-H4 is 1.5")
    assert found.first.time == pytest.approx(2.4)


def test_a_planted_contact(criterion: StabilityCriterion, reference: dict) -> None:
    box = liquid()
    box.xyz[17:, 30:33] = box.xyz[17:, 0:3] + np.array([0.0, 0.0, 0.115])
    found = failing(box, criterion, reference)
    assert censored(found) == {"bonds": True, "contacts": False, "rdf": True}
    assert found.first.frame == 17 and found.first.time == pytest.approx(1.8)
    assert "1.15 A apart, bound 1.20 A" in found.first.reason


def test_a_planted_collapse_that_neither_bonds_nor_contacts_see(criterion: StabilityCriterion, reference: dict) -> None:
    """From frame 20 on all molecules sit on a perfect lattice: g(r) becomes a comb."""
    box = liquid()
    box.xyz[20:] = water(1, spread=0.0).xyz[0]
    found = failing(box, criterion, reference)
    assert censored(found) == {"bonds": True, "contacts": True, "rdf": False}
    # The window that ends with the first frame of the comb is the first that could notice.
    assert 11 <= found.first.frame <= 20
    assert found.first.time == pytest.approx(box.time[found.first.frame])
    assert "over 1 ps is off by" in found.first.reason
    worst = np.max(list(found.drift.errors.values()), axis=0)
    assert worst[found.first.frame] > 3.0 >= worst[found.first.frame - 1]


def test_the_measure_is_the_integral_of_fu(reference: dict) -> None:
    box = liquid(15, seed=4)
    drift = rdf_drift(box, reference)
    edges = reference["O-O"].edges
    assert len(edges) == 501 and edges[-1] == pytest.approx(6.0)
    for window in (0, 5):
        part = radial_distributions(box[window : window + 10], edges, intramolecular=True)
        for name, errors in drift.errors.items():
            integral = np.trapezoid(np.abs(part[name].g - reference[name].g), dx=6.0 / 500)
            assert errors[window] == pytest.approx(integral, rel=0.01)


def test_small_boxes_end_the_integral_at_half_their_width() -> None:
    small = liquid(5)
    small.unitcell_lengths *= 0.8
    assert drift_reference(small)["O-O"].edges[-1] == pytest.approx(0.4 * EDGE)
    rounded = drift_reference(small)
    small.unitcell_lengths *= 1 - 2e-6  # the same box in another format
    rdf_drift(small, rounded)
    small.unitcell_lengths *= 0.999
    with pytest.raises(FfptError, match="needs a larger box"):
        rdf_drift(small, drift_reference(liquid(5)), window=0.5)


def test_frames_that_are_not_finite_end_the_drift(criterion: StabilityCriterion, reference: dict) -> None:
    box = liquid()
    box.xyz[30:] = np.nan
    found = failing(box, criterion, reference)
    assert (found.first.frame, found.first.reason) == (30, "coordinates are not finite")
    assert len(found.drift.starts) == 21
    box.xyz[3:] = np.nan
    assert not len(failing(box, criterion, reference).drift.starts)


def test_windows_of_too_few_frames_and_wrong_references_are_refused(reference: dict) -> None:
    with pytest.raises(FfptError, match="a window of 1 ps holds 1 frames: too few"):
        rdf_drift(liquid()[::10], reference)
    with pytest.raises(FfptError, match="--all-pairs"):
        rdf_drift(liquid(), radial_distributions(liquid(3)))


def test_replicas_and_their_guards(tmp_path: Path, reference: dict) -> None:
    box = liquid()
    box.xyz[23:, 4] += 0.06
    write(box, tmp_path, "a.h5")
    rules = criterion_for(tmp_path / "water.pdb", min_distance=1.2)
    stopped = {"status": "failed", "reason": "bond O3-H4 is 1.9 A", "topology": tmp_path / "water.pdb", "state": None}
    late = Replica("late", tmp_path / "a.h5", time=4.2, **stopped)
    assert replica_liquid_failures(late, rules, reference).first.frame == 23
    early = replica_liquid_failures(Replica("early", None, time=0.05, **stopped), rules, reference)
    assert early.first.time == 0.05 and not early.first.censored
    assert early.to_dict()["by_criterion"].keys() == {"guard"}
    with pytest.raises(FfptError, match="no frames yet"):
        replica_liquid_failures(Replica("none", None, tmp_path / "water.pdb", None), rules, reference)


def test_picture_of_the_drift(criterion: StabilityCriterion, reference: dict) -> None:
    run = failing(liquid(12), criterion, reference)
    figure = plot_drift({"run": [run, run]})
    assert [axes.get_title() for axes in figure.axes] == ["O–O", "O–H", "H–H"]
    assert len(figure.axes[0].lines) == 3 and len(figure.legends[0].get_texts()) == 1
    with pytest.raises(FfptError, match="no run is as long"):
        plot_drift({"run": [failing(liquid(5), criterion, reference)]})


def test_bonds_and_angles_of_rigid_water() -> None:
    found = water_geometry([liquid(30), liquid(20, seed=2)], n_windows=6)
    np.testing.assert_allclose(found.bond_mean, 1.0, atol=1e-5)
    np.testing.assert_allclose(found.angle_mean, 104.5, atol=1e-2)
    assert found.n_samples.sum() == 50 * 64 and not found.wide.any()
    np.testing.assert_allclose(found.bonds @ np.diff(BOND_EDGES), 1.0)
    np.testing.assert_allclose(found.angles @ np.diff(ANGLE_EDGES), 1.0)
    assert (found.times[0], found.times[-1]) == (pytest.approx(0.1), pytest.approx(3.0))


def test_a_wide_angle_is_seen_when_it_happens() -> None:
    box = liquid(40)
    # The second hydrogen goes opposite the first: 180 degrees, for one molecule of 64 in the last quarter.
    box.xyz[30:, 5] = 2 * box.xyz[30:, 3] - box.xyz[30:, 4]
    found = water_geometry(box, n_windows=4)
    np.testing.assert_allclose(found.wide, [0, 0, 0, 1 / 64], atol=0.002)
    assert found.angle_max[-1] == pytest.approx(180.0, abs=0.1) and found.angle_max[0] < 105
    record = found.to_dict()
    assert record["angle_degrees"]["max"] == pytest.approx(180.0, abs=0.1)
    assert record["bond_angstrom"]["std"] == pytest.approx(0.0, abs=1e-4)
    assert len(plot_water_geometry({"one": found, "two": found}).axes) == 6


def test_other_liquids_are_not_water() -> None:
    methanol = trajectory(np.random.default_rng(0).random((2, 6, 3)), ["C", "O", "H", "H", "H", "H"], None,
                          ((0, 1), (0, 2), (0, 3), (0, 4), (1, 5)))  # fmt: skip
    with pytest.raises(FfptError, match="this needs water, but the molecule of atom 0 is CHHHHO"):
        water_geometry(methanol)


@pytest.mark.parametrize("name", ["a.xyz", "a.dcd", "a.pdb"])
def test_files_without_times_need_an_interval(tmp_path: Path, name: str) -> None:
    path, _, pdb = write(liquid(3), tmp_path, name)
    with pytest.raises(FfptError, match="does not say when its frames were taken: give the time between frames"):
        load_trajectory(path, pdb)
    assert load_trajectory(path, pdb, 0.5).time.tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert len(load_trajectory(path, pdb, timed=False)) == 3
    with pytest.raises(FfptError, match="cannot be 0 ps apart"):
        load_trajectory(path, pdb, 0.0)


@pytest.mark.parametrize("name", ["a.h5", "a.xtc", "a.trr", "a.nc", "a.gro"])
def test_files_with_times_keep_them(tmp_path: Path, name: str) -> None:
    path, _, pdb = write(liquid(3), tmp_path, name)
    assert load_trajectory(path, pdb).time.tolist() == pytest.approx([0.1, 0.2, 0.3])
