"""Free energies: sums of hills against hand, PLUMED and known surfaces; basins, paths, reweighting."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metadynamics_model import KT, TEMPERATURE, double_well
from scipy.ndimage import label as label_regions

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_plumed import find_kernel
from ffpt_plumed.free_energy import (
    Axis,
    Basin,
    FreeEnergy,
    GridChoice,
    Hills,
    Landscape,
    Options,
    Source,
    analyse,
    basin_energy,
    convergence,
    default_axes,
    estimates,
    find_source,
    make_axes,
    parse_basin,
    read_grid,
    read_hills,
    reweight,
    rms_difference,
    sum_hills,
)
from ffpt_plumed.free_energy.convergence import low_region
from ffpt_plumed.free_energy.plots import enough_to_see
from ffpt_plumed.free_energy.reweighting import final_bias, offset, rbias
from ffpt_plumed.text.numbers import Period
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import write_table

DATA = Path(__file__).parents[1] / "data" / "plumed"
LEFT, RIGHT = Basin("left", {"x": (-1.6, 0.0)}), Basin("right", {"x": (0.0, 1.6)})
PERIOD = Period("-pi", "pi")


def hills_of(
    centres: np.ndarray, sigmas: np.ndarray, heights: np.ndarray, periodic: tuple[bool, ...] = (), kernel: str = ""
) -> Hills:
    """Hills with widths (n, n_cvs), on variables of which some have the period -pi to pi."""
    n_cvs = centres.shape[1]
    periodic = periodic or (False,) * n_cvs
    return Hills(
        names=tuple("xyz"[:n_cvs]),
        periods=tuple(PERIOD if one else None for one in periodic),
        times=np.arange(1.0, len(centres) + 1.0),
        centres=centres,
        covariances=np.einsum("nk,km->nkm", sigmas**2, np.eye(n_cvs)),
        heights=heights,
        bias_factor=None,
        kernel=kernel or "stretched-gaussian",
    )


def random_hills(seed: int, n_cvs: int, n_hills: int = 12) -> tuple[Hills, tuple[Axis, ...]]:
    """Hills on variables of which every second is periodic, and a fine grid of a coarse region."""
    rng = np.random.default_rng(seed)
    periodic = tuple(bool((k + seed) % 2) for k in range(n_cvs))
    centres = rng.uniform(-math.pi, math.pi, size=(n_hills, n_cvs))
    hills = hills_of(centres, rng.uniform(0.3, 0.6, size=centres.shape), rng.uniform(0.5, 2.0, n_hills), periodic)
    bins = (400, 60, 24)[n_cvs - 1]
    axes = tuple(
        Axis(name, -math.pi, math.pi, bins, PERIOD if one else None)
        for name, one in zip(hills.names, periodic, strict=True)
    )
    return hills, axes


# --- Sums of hills -----------------------------------------------------------------------------------------------


def test_three_hills_by_hand() -> None:
    hills = hills_of(np.array([[0.0], [0.5], [5.0]]), np.full((3, 1), 0.5), np.array([2.0, 1.0, 4.0]))
    fes = sum_hills(hills, (Axis("x", -1.0, 5.0, 12),))
    # PLUMED stretches exp(-d^2/2) so that it ends at zero at d^2/2 = 6.25, where 3.5 widths are about the end.
    end = math.exp(-6.25)

    def kernel(distance: float) -> float:
        return (math.exp(-0.5 * (distance / 0.5) ** 2) - end) / (1.0 - end)

    assert fes.values[2] == pytest.approx(-2.0 - kernel(0.5), abs=1e-12)  # at 0
    assert fes.values[3] == pytest.approx(-2.0 * kernel(0.5) - 1.0, abs=1e-12)  # at 0.5
    assert fes.values[12] == pytest.approx(-4.0, abs=1e-12)  # at 5
    assert fes.values[6] == pytest.approx(-kernel(1.5), abs=1e-12)  # at 2, out of reach of all but the second
    assert fes.values[8] == 0.0  # at 3, out of reach of all


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), n_cvs=st.integers(1, 3))
def test_sum_is_the_sum_over_all_hills(seed: int, n_cvs: int) -> None:
    hills, axes = random_hills(seed, n_cvs)
    fes = sum_hills(hills, axes)
    grids = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    expected = np.zeros(fes.values.shape)
    for centre, covariance, height in zip(hills.centres, hills.covariances, hills.heights, strict=True):
        exponent = np.zeros_like(expected)
        for k, (grid, axis) in enumerate(zip(grids, axes, strict=True)):
            difference = grid - centre[k]
            if axis.period is not None:
                difference = (difference + math.pi) % (2.0 * math.pi) - math.pi
            exponent += 0.5 * difference**2 / covariance[k, k]
        gaussian = (np.exp(-exponent) - math.exp(-6.25)) / (1.0 - math.exp(-6.25))
        expected -= np.where(exponent < 6.25, height * gaussian, 0.0)
    # PLUMED counts the reach of a hill in whole cells: at its very end a hill may miss up to a cell.
    smallest = np.sqrt(np.diagonal(hills.covariances, axis1=1, axis2=2).min())
    last = max(math.sqrt(12.5) - axes[0].spacing / smallest, 0.0)
    np.testing.assert_allclose(
        fes.values, expected, atol=1e-12 + hills.heights.sum() * (math.exp(-0.5 * last**2) - math.exp(-6.25))
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), n_cvs=st.integers(1, 3))
def test_order_periods_and_cells_do_not_matter(seed: int, n_cvs: int) -> None:
    hills, axes = random_hills(seed, n_cvs)
    fes = sum_hills(hills, axes)
    periodic = [k for k, axis in enumerate(axes) if axis.period is not None]
    *_, (_, last) = estimates(hills, axes, 5)
    np.testing.assert_allclose(last.values, fes.values, atol=1e-12)
    centres = hills.centres[::-1].copy()
    widths = np.sqrt(np.diagonal(hills.covariances, axis1=1, axis2=2))[::-1]
    for k in periodic:
        centres[:, k] += 2.0 * math.pi + 3.0 * axes[k].spacing
    flags = tuple(axis.period is not None for axis in axes)
    shifted = sum_hills(hills_of(centres, widths, hills.heights[::-1], flags), axes)
    expected = np.roll(fes.values, [3] * len(periodic), axis=periodic) if periodic else fes.values
    np.testing.assert_allclose(shifted.values, expected, atol=1e-9)


def test_a_hill_wider_than_the_period_counts_once() -> None:
    hills = hills_of(np.array([[1.0]]), np.array([[2.0]]), np.array([3.0]), (True,))
    fes = sum_hills(hills, (Axis("x", -math.pi, math.pi, 7, PERIOD),))
    distance = np.abs((fes.axes[0].points - 1.0 + math.pi) % (2 * math.pi) - math.pi)
    end = math.exp(-6.25)
    np.testing.assert_allclose(
        fes.values, -3.0 * (np.exp(-0.5 * (distance / 2.0) ** 2) - end) / (1.0 - end), atol=1e-12
    )


def test_gradient_is_the_slope() -> None:
    hills, (axis,) = random_hills(3, 1)
    fine = Axis("x", -math.pi, math.pi, 20_000, axis.period)
    fes = sum_hills(hills, (fine,))
    slope = (np.roll(fes.values, -1) - np.roll(fes.values, 1)) / (2.0 * fine.spacing)
    assert fes.gradient is not None
    # Where a hill begins its slope jumps, by 0.0068 heights a width.
    smooth = np.abs(fes.gradient[0] - slope) < 1e-4
    assert smooth.mean() > 0.995
    assert np.abs(slope).max() > 1.0


# --- PLUMED ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".multivariate", ".gaussian"])
def test_agrees_with_stored_grids_of_plumed(suffix: str) -> None:
    hills = read_hills([DATA / f"HILLS{suffix}"])
    reference = read_grid(DATA / f"fes{suffix}.dat")
    fes = sum_hills(hills, reference.axes)
    np.testing.assert_allclose(fes.values, reference.values, rtol=0, atol=1e-8)
    table = read_table(DATA / f"fes{suffix}.dat")
    derivatives = table.columns(name for name in table.fields if name.startswith("der_"))
    assert fes.gradient is not None
    found = np.stack([one.ravel(order="F") for one in fes.gradient], axis=1)
    np.testing.assert_allclose(found, derivatives, rtol=0, atol=1e-8)


def test_default_grid_is_that_of_plumed() -> None:
    (axis,) = default_axes(read_hills([DATA / "HILLS.gaussian"]))
    (theirs,) = read_grid(DATA / "fes.gaussian.dat").axes
    assert (axis.lower, axis.upper) == pytest.approx((theirs.lower, theirs.upper), abs=1e-6)
    assert axis.n_bins == theirs.n_bins


def test_projection_agrees_with_plumed() -> None:
    full = sum_hills(read_hills([DATA / "HILLS"]), read_grid(DATA / "fes.dat").axes)
    table = read_table(DATA / "fes.phi.dat")
    difference = full.project(["phi"], TEMPERATURE).values - table["projection"]
    np.testing.assert_allclose(difference, difference.mean(), rtol=0, atol=1e-6)


def test_writes_the_file_that_plumed_writes(tmp_path: Path) -> None:
    theirs = read_grid(DATA / "fes.dat")
    sum_hills(read_hills([DATA / "HILLS"]), theirs.axes).write(tmp_path / "fes.dat")
    mine, written = read_table(tmp_path / "fes.dat"), read_table(DATA / "fes.dat")
    assert mine.fields == written.fields
    assert mine.constants == written.constants
    np.testing.assert_allclose(mine.values, written.values, rtol=0, atol=2e-9)
    lines = [(tmp_path / "fes.dat").read_text().split("\n"), (DATA / "fes.dat").read_text().split("\n")]
    assert [bool(line) for line in lines[0]] == [bool(line) for line in lines[1]]


def test_agrees_with_plumed_on_this_machine(tmp_path: Path) -> None:
    try:
        library = find_kernel()
    except FfptError:
        pytest.skip("no PLUMED here")
    beside = library.parent.parent / "bin" / "plumed"
    program = str(beside) if beside.is_file() else shutil.which("plumed")
    if program is None:
        pytest.skip("PLUMED's kernel is here, its program is not")
    hills, _ = random_hills(5, 2, 200)
    widths = np.sqrt(np.diagonal(hills.covariances, axis1=1, axis2=2))
    columns = (hills.times[:, None], hills.centres, widths, hills.heights[:, None], np.full((len(hills), 1), 8.0))
    fields = ("time", "x", "y", "sigma_x", "sigma_y", "height", "biasf")
    constants = {"multivariate": "false", "min_x": "-pi", "max_x": "pi"}
    write_table(tmp_path / "HILLS", Table(fields, constants, np.concatenate(columns, axis=1)))
    words = ["sum_hills", "--hills", "HILLS", "--min", "-pi,-3", "--max", "pi,3", "--bin", "40,50"]
    environment = os.environ | {"LD_LIBRARY_PATH": str(library.parent), "PLUMED_KERNEL": str(library)}
    subprocess.run([program, *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    theirs = read_grid(tmp_path / "fes.dat")
    read = read_hills([tmp_path / "HILLS"])
    assert read.bias_factor == 8.0
    np.testing.assert_allclose(sum_hills(read, theirs.axes).values, theirs.values, rtol=0, atol=1e-8)


# --- A known free energy -----------------------------------------------------------------------------------------


GRID = GridChoice((-1.6,), (1.6,), (64,))


def known(axes: tuple[Axis, ...]) -> FreeEnergy:
    return FreeEnergy(axes, double_well(axes[0].points[:, None]))


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
def test_a_double_well_within_half_a_kj_per_mol(double_well_run: Path) -> None:
    options = Options(TEMPERATURE, grid=GRID, method="rbias", skip=16.0, basins=(LEFT, RIGHT))
    surface = analyse(find_source(double_well_run), options)
    truth = known(surface.fes.axes)
    region = low_region(truth, 25.0)
    assert region.mean() > 0.7
    assert rms_difference(surface.fes, truth, region)[0] < 0.5
    assert surface.reweighted is not None
    assert rms_difference(surface.reweighted.fes, truth, region)[0] < 0.5
    difference = basin_energy(truth, RIGHT, TEMPERATURE) - basin_energy(truth, LEFT, TEMPERATURE)
    assert surface.convergence.late_difference("right")[0] == pytest.approx(difference, abs=0.5)
    assert surface.reweighted_differences["right"][0] == pytest.approx(difference, abs=0.5)
    assert 0.0 < surface.reweighted_differences["right"][1] < 0.5
    assert surface.path is not None
    top = double_well(np.linspace(-0.5, 0.5, 1001)[:, None]).max()
    assert surface.path.barrier == pytest.approx(top - truth.values.min(), abs=1.0)
    assert surface.crossed
    # Estimates settle: the second half moves less than the first.
    settled = surface.convergence
    assert settled.to_last[len(settled.times) // 2] < 0.5 * settled.to_last[0]
    assert settled.to_last[-1] == 0.0


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
def test_final_bias_gives_the_same_free_energy(double_well_run: Path) -> None:
    options = Options(TEMPERATURE, grid=GRID, method="final", skip=40.0)
    surface = analyse(find_source(double_well_run), options)
    assert surface.reweighted is not None
    truth = known(surface.fes.axes)
    assert rms_difference(surface.reweighted.fes, truth, low_region(truth, 25.0))[0] < 0.6


def test_offset_from_hills_is_that_of_the_run(double_well_run: Path) -> None:
    colvar, hills = read_table(double_well_run / "COLVAR"), read_hills([double_well_run / "HILLS"])
    axes = make_axes(hills, GridChoice((-2.0,), (2.0,), (200,)))
    kept = tuple(name for name in colvar.fields if name != "metad.rbias")
    without = Table(kept, {}, colvar.columns(kept))
    late = colvar["time"] > 5.0
    np.testing.assert_allclose(rbias(without, hills, axes, TEMPERATURE)[late], colvar["metad.rbias"][late], atol=0.3)
    at_end = colvar["time"] == colvar["time"].max()
    np.testing.assert_allclose(final_bias(colvar, hills, axes)[at_end], colvar["metad.bias"][at_end], atol=0.3)


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
def test_well_tempered_hills_converge_to_the_free_energy(tmp_path: Path) -> None:
    """Without noise: every round the hills of an equilibrated ensemble, whose density is exp(-(F + V)/kT)."""
    gamma, sigma = 6.0, 0.1
    points = np.linspace(-2.0, 2.0, 161)
    energy = double_well(points[:, None])
    kernel = np.exp(-0.5 * ((points[:, None] - points) / sigma) ** 2)
    bias, rows = np.zeros_like(points), []
    for number in range(400):
        density = np.exp(-(energy + bias - (energy + bias).min()) / KT)
        heights = 6.0 * density / density.sum() * np.exp(-bias / (KT * (gamma - 1.0)))
        bias += kernel @ heights
        kept = heights > 1e-9
        scaled = heights[kept] * gamma / (gamma - 1.0)
        rows.append(np.stack([np.full(kept.sum(), number), points[kept], np.full(kept.sum(), sigma), scaled], axis=1))
    table = np.concatenate(rows)
    table = np.hstack([table, np.full((len(table), 1), gamma)])
    fields = ("time", "x", "sigma_x", "height", "biasf")
    write_table(tmp_path / "HILLS", Table(fields, {"kerneltype": "gaussian", "multivariate": "false"}, table))
    hills = read_hills([tmp_path / "HILLS"])
    fes = sum_hills(hills, make_axes(hills, GridChoice((-1.5,), (1.5,), (60,))))
    truth = known(fes.axes)
    rms, largest = rms_difference(fes, truth, low_region(truth, 14.0))
    assert rms < 0.1
    assert largest < 0.5


def test_offset_by_hand() -> None:
    axes = (Axis("x", 0.0, 1.0, 1),)
    fes = FreeEnergy(axes, np.array([-6.0, 0.0]))
    expected = KT * math.log((math.exp(6 / KT) + 1) / (math.exp(2 / KT) + 1))
    assert offset(fes, 3.0, TEMPERATURE) == pytest.approx(expected, rel=1e-12)
    assert offset(fes, None, TEMPERATURE) == pytest.approx(KT * math.log((math.exp(6 / KT) + 1) / 2), rel=1e-12)


def test_weights_undo_a_known_bias() -> None:
    rng = np.random.default_rng(0)
    # Sampled flat, under the bias -F: the weights must bring F back, with an error that says how far off it is.
    x = rng.uniform(-1.0, 1.0, 40_000)
    axes = (Axis("x", -1.0, 1.0, 20),)
    energy = 6.0 * x**2
    found = reweight(x[:, None], -energy, axes, TEMPERATURE)
    inner = slice(1, -1)
    expected = 6.0 * axes[0].points ** 2
    off = found.fes.values[inner] - expected[inner]
    assert np.abs(off - off.mean()).max() < 0.3
    assert 0.4 < np.std(off) / np.median(found.error[inner]) < 2.5
    assert found.effective < found.n_frames == 40_000
    assert reweight(x[:, None], np.zeros_like(x), axes, TEMPERATURE).effective == pytest.approx(40_000)


# --- Grids, basins, paths ----------------------------------------------------------------------------------------


def test_a_grid_survives_its_file_and_knows_points_between(tmp_path: Path) -> None:
    axes = (Axis("phi", -math.pi, math.pi, 40, PERIOD), Axis("d", 0.1, 1.3, 30))
    grids = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    fes = FreeEnergy(axes, np.cos(grids[0]) * grids[1] ** 2)
    fes.write(tmp_path / "fes.dat")
    again = read_grid(tmp_path / "fes.dat")
    assert again.axes == axes
    np.testing.assert_allclose(again.values, fes.values, atol=1e-9)
    points = np.random.default_rng(1).uniform((-7.0, 0.1), (7.0, 1.3), size=(200, 2))
    np.testing.assert_allclose(again.at(points), np.cos(points[:, 0]) * points[:, 1] ** 2, atol=1e-2)
    inner = points[(points[:, 1] > 0.4) & (points[:, 1] < 1.0)]
    np.testing.assert_allclose(again.at(inner), np.cos(inner[:, 0]) * inner[:, 1] ** 2, atol=1e-4)
    assert np.isnan(again.at(np.array([[0.0, 1.4], [0.0, 0.0]]))).all()


def test_projection_of_independent_variables() -> None:
    axes = (Axis("x", -1.0, 1.0, 20), Axis("y", 0.0, 1.0, 10), Axis("z", -math.pi, math.pi, 12, PERIOD))
    x, y, z = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    fes = FreeEnergy(axes, 3.0 * x**2 + 5.0 * y + np.cos(z))
    kept = fes.project(("z", "x"), TEMPERATURE)
    assert kept.names == ("z", "x")
    expected = np.cos(axes[2].points)[:, None] + 3.0 * axes[0].points ** 2
    shift = -KT * math.log(0.1 * np.exp(-5.0 * axes[1].points / KT).sum())
    np.testing.assert_allclose(kept.values, expected + shift, atol=1e-12)


def test_basins() -> None:
    axes = (Axis("phi", -math.pi, math.pi, 8, PERIOD), Axis("d", 0.0, 1.0, 4))
    basin = parse_basin("far=phi:2.3:-2.3,d:0.5:1")
    assert basin.name == "far"
    assert np.argwhere(basin.mask(axes)).tolist() == [[i, j] for i in (0, 1, 7) for j in (2, 3, 4)]
    flat = FreeEnergy(axes, np.full((8, 5), 7.0))
    # Nine points of 7 kJ/mol.
    assert basin_energy(flat, basin, TEMPERATURE) == pytest.approx(7.0 - KT * math.log(9), rel=1e-12)
    assert parse_basin("a=phi:-pi:pi/2").ranges == {"phi": (-math.pi, math.pi / 2)}


@pytest.mark.parametrize("text", ["phi:0:1", "a=phi:0", "a=phi:0:b", "=phi:0:1", "a=:0:1", "a="])
def test_basins_that_are_none(text: str) -> None:
    with pytest.raises(FfptError, match="write a basin as NAME=CV:LOWER:UPPER"):
        parse_basin(text)


def brute_force_barrier(values: np.ndarray, start: tuple[int, ...], end: tuple[int, ...]) -> float:
    """The lowest level at which two points lie in one connected region."""
    for level in np.unique(values):
        regions, _ = label_regions(values <= level, np.ones((3,) * values.ndim))
        if regions[start] and regions[start] == regions[end]:
            return float(level)
    return math.inf


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), n_axes=st.integers(1, 3))
def test_barrier_is_the_lowest_of_all(seed: int, n_axes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(one) for one in rng.integers(3, (40, 12, 6)[n_axes - 1], n_axes))
    values = rng.normal(scale=5.0, size=shape)
    if n_axes > 1:
        values[rng.random(shape) < 0.15] = np.inf  # never visited
    axes = tuple(Axis(name, 0.0, 1.0, size - 1) for name, size in zip("xyz", shape, strict=False))
    known_points = np.argwhere(np.isfinite(values))
    start, end = (tuple(int(k) for k in known_points[one]) for one in rng.integers(0, len(known_points), 2))
    landscape = Landscape(FreeEnergy(axes, values))
    expected = brute_force_barrier(np.where(np.isfinite(values), values, 1e9), start, end)
    if expected == 1e9:
        with pytest.raises(FfptError, match="no way over sampled points"):
            landscape.path(start, end)
        return
    path = landscape.path(start, end)
    assert path.energies.max() == expected
    assert path.barrier == expected - values[start]
    assert path.reverse_barrier == expected - values[end]
    assert tuple(path.indices[0]) == start
    assert tuple(path.indices[-1]) == end
    assert np.abs(np.diff(path.indices, axis=0)).max(initial=0) <= 1


def test_a_path_goes_through_the_end_of_a_period() -> None:
    # Minima at -2.5 and 2.5: over 0 the barrier is 20, over pi it is 3.
    axis = Axis("phi", -math.pi, math.pi, 100, PERIOD)
    values = np.where(np.abs(axis.points) < 2.5, 20.0 * (1 - np.abs(axis.points) / 2.5), 0.0)
    values = np.where(np.abs(axis.points) > 2.8, 3.0, values)
    start, end = (int(np.argmin(np.abs(axis.points - one))) for one in (-2.5, 2.5))
    path = Landscape(FreeEnergy((axis,), values)).path((start,), (end,))
    assert path.barrier == pytest.approx(3.0, abs=0.2)
    closed = Landscape(FreeEnergy((Axis("phi", -math.pi, axis.points[-1], 99),), values)).path((start,), (end,))
    assert closed.barrier == pytest.approx(20.0, abs=0.8)


def test_minima_of_two_dimensions() -> None:
    axes = (Axis("x", -1.5, 1.5, 60), Axis("y", -1.0, 1.0, 40))
    x, y = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
    ripple = 2.0 * np.cos(40.0 * x) * np.cos(40.0 * y)
    landscape = Landscape(FreeEnergy(axes, 20.0 * (x**2 - 1.0) ** 2 + 4.0 * x + 30.0 * (y - 0.3 * x) ** 2 + ripple))
    found = landscape.minima(depth=6.0)
    assert len(found) == 2
    assert np.array([(axes[0].points[i], axes[1].points[j]) for i, j in found]) == pytest.approx(
        np.array([(-1.0, -0.3), (1.0, 0.3)]), abs=0.2
    )
    assert len(landscape.minima(depth=0.5)) > 2
    path = landscape.path(*found)
    assert path.barrier == pytest.approx(20.0 + 4.0, abs=4.0)
    assert np.abs(path.points[:, 1] - 0.3 * path.points[:, 0]).max() < 0.3


def test_convergence_compares_up_to_a_constant() -> None:
    axes = (Axis("x", -1.0, 1.0, 50),)
    shape = 10.0 * axes[0].points ** 2
    noise = np.where(axes[0].points > 0, 1.0, -1.0)
    series = [(float(k), FreeEnergy(axes, shape + 5.0 * k + noise / k)) for k in (1, 2, 4)]
    basins = (Basin("a", {"x": (-1.0, -0.01)}), Basin("b", {"x": (0.01, 1.0)}))
    found = convergence(series, 100.0, basins, TEMPERATURE)
    spread = noise.std()
    assert found.successive[1:] == pytest.approx([spread / 2, spread / 4])
    assert found.to_last == pytest.approx([spread * 3 / 4, spread / 4, 0.0], abs=1e-12)
    assert found.differences["b"] == pytest.approx([2.0, 1.0, 0.5])
    assert math.isnan(found.successive[0])


# --- Files and the command ---------------------------------------------------------------------------------------


def test_walkers_are_merged_in_time(tmp_path: Path) -> None:
    fields = ("time", "x", "sigma_x", "height", "biasf")
    for number in range(2):
        rows = [[time, number, 0.1, 1.0, 5.0] for time in (1.0, 2.0, 3.0)]
        write_table(tmp_path / f"HILLS.{number}", Table(fields, {"multivariate": "false"}, np.array(rows)))
    hills = read_hills(find_source(tmp_path).hills)
    assert hills.times.tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert hills.centres[:, 0].tolist() == [0.0, 1.0] * 3
    with pytest.raises(FfptError, match="are not of one run: their names are"):
        read_hills([tmp_path / "HILLS.0", DATA / "HILLS"])


def test_bias_factors_of_plain_runs(tmp_path: Path) -> None:
    fields = ("time", "x", "sigma_x", "height", "biasf")
    rows = [[float(k), 0.0, 0.1, 1.0, factor] for k, factor in enumerate((-1.0, 1.0))]
    write_table(tmp_path / "HILLS", Table(fields, {"multivariate": "false"}, np.array(rows)))
    assert read_hills([tmp_path / "HILLS"]).bias_factor is None
    assert read_hills([DATA / "HILLS"]).bias_factor == 6.0


def test_a_clock_that_goes_back_is_noted(tmp_path: Path) -> None:
    fields = ("time", "x", "sigma_x", "height", "biasf")
    rows = [[time, 0.0, 0.1, 1.0, 5.0] for time in (1.0, 2.0, 1.5)]
    write_table(tmp_path / "HILLS", Table(fields, {"multivariate": "false"}, np.array(rows)))
    with pytest.warns(FfptWarning, match=r"time goes back from 2 to 1.5: a restart may have repeated hills"):
        read_hills([tmp_path / "HILLS"])


def test_a_barrier_that_no_hill_reached_is_a_lower_bound(tmp_path: Path) -> None:
    fields = ("time", "x", "sigma_x", "height", "biasf")
    for distance, crossed in ((3.0, False), (1.3, False), (0.7, True)):
        rows = [[float(time), x, 0.2, 5.0, -1.0] for time, x in enumerate((0.0, distance, 0.0))]
        write_table(tmp_path / "HILLS", Table(fields, {"multivariate": "false"}, np.array(rows)))
        surface = analyse(Source((tmp_path / "HILLS",)), Options(depth=0.1, estimates=2))
        assert surface.path is not None
        assert surface.crossed is crossed
        assert (surface.path.barrier == pytest.approx(10.0, abs=0.1)) is not crossed
        # Pictures show all that hills reached, and not the flat part between that none did.
        height = enough_to_see([surface], 1.0)
        assert height > surface.path.barrier if crossed else 9.0 < height < surface.path.barrier
        assert enough_to_see([surface], 50.0) == 50.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.split("\n 1 ")[0] + "\n", "holds no hills yet"),
        (
            lambda text: text.replace("sigma_phi", "width_phi").replace("sigma_d1", "width_d1"),
            "has 0 variables with widths",
        ),
        (lambda text: text.replace("sigma_d1", "width_d1"), "no column 'sigma_d1'"),
        (lambda text: text.replace("stretched-gaussian", "triangular"), "hills of kind triangular"),
        (lambda text: text.replace("multivariate false", "multivariate von-misses"), "von-misses' are not supported"),
        (lambda text: text.replace("0.040", "0.000"), "whose width is not positive"),
        (lambda text: text.replace("1.25  6\n 2", "1.25  7\n 2"), "hills of 2 bias factors, 6 to 7"),
        (lambda text: text.replace("min_phi -pi", "min_phi minus"), "the period of phi: 'minus' is not a number"),
        (lambda text: text.replace("#! SET multi", "#! SET lower_int 0\n#! SET multi"), "INTERVAL"),
    ],
)
def test_hills_that_cannot_be_summed(change, message: str, tmp_path: Path) -> None:
    (tmp_path / "HILLS").write_text(change((DATA / "HILLS").read_text()))
    with pytest.raises(FfptError, match=message):
        read_hills([tmp_path / "HILLS"])


def test_colvar_that_cannot_be_weighted(tmp_path: Path) -> None:
    options = Options(TEMPERATURE, method="rbias", estimates=2)
    write_table(tmp_path / "COLVAR", Table(("time", "phi", "d1"), {}, np.array([[1.0, 0.0, 0.3]])))
    source = Source((DATA / "HILLS",), tmp_path / "COLVAR")
    with pytest.raises(FfptError, match=r"has neither a column \*.rbias nor a single \*.bias"):
        analyse(source, options)
    with pytest.raises(FfptError, match="has no frames after 5 ps"):
        analyse(source, Options(TEMPERATURE, method="final", skip=5.0))
    write_table(tmp_path / "COLVAR", Table(("time", "phi", "metad.bias"), {}, np.array([[1.0, 0.0, 0.3]])))
    with pytest.raises(FfptError, match="COLVAR has no column 'd1'"):
        analyse(source, options)
