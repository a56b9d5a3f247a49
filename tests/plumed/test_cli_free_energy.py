"""ffpt analyze fes: files, units, projections, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import run_command
from metadynamics_model import KT, double_well

from ffpt_core.base.errors import FfptError
from ffpt_plumed.cli.fes import fes
from ffpt_plumed.free_energy import read_grid
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import write_table

DATA = Path(__file__).parents[1] / "data" / "plumed"


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
def test_command_on_a_double_well_run(double_well_run: Path, tmp_path: Path) -> None:
    basins = ("--basin", "left=x:-1.6:0", "--basin", "right=x:0:1.6")
    grid = ("--min", "-1.6", "--max", "1.6", "--bin", "64", "--temperature", "300", "--reweight", "rbias")
    run_command(fes, double_well_run, *grid, *basins, "-o", tmp_path / "kj", "--skip", "16")
    run_command(
        fes,
        double_well_run,
        *grid,
        *basins,
        "-o",
        tmp_path / "kcal",
        "--unit",
        "kcal/mol",
        "--reference",
        tmp_path / "kj/fes.dat",
    )
    records = [json.loads((tmp_path / unit / "fes.json").read_text()) for unit in ("kj", "kcal")]
    (first,), (second,) = (list(record["surfaces"].values()) for record in records)
    assert first["basins"]["right"]["difference"] == pytest.approx(4.184 * second["basins"]["right"]["difference"])
    assert first["path"]["barrier"] == pytest.approx(4.184 * second["path"]["barrier"])
    assert first["path"]["barrier"] > 10.0
    assert not first["path"]["is_lower_bound"]
    assert len(first["minima"]) == 2
    assert first["bias_factor"] == 8.0
    assert first["reweighted"]["from_hills"]["rms"] < 1.0
    assert second["reference"]["rms"] == pytest.approx(0.0, abs=1e-6)
    for name in ("fes.png", "convergence.png"):
        assert (tmp_path / "kcal" / name).stat().st_size > 5000
    assert read_grid(tmp_path / "kcal" / "fes-reweighted.dat").axes[0].n_points == 65
    # Grids are in kJ/mol whatever the unit of the results.
    np.testing.assert_array_equal(
        read_grid(tmp_path / "kj" / "fes.dat").values, read_grid(tmp_path / "kcal" / "fes.dat").values
    )


def test_command_on_maps_and_projections(tmp_path: Path) -> None:
    run_command(
        fes, f"a={DATA / 'HILLS'}", f"b={DATA / 'HILLS'}", "-o", tmp_path / "maps", "--estimates", "4", "--depth", "0.5"
    )
    assert {one.name for one in (tmp_path / "maps").iterdir()} == {
        *("fes.json", "fes.png", "convergence.png", "fes-a.dat", "fes-b.dat")
    }
    run_command(
        fes,
        DATA / "HILLS",
        "--cvs",
        "phi",
        "--bin",
        "20",
        "--temperature",
        "300",
        "-o",
        tmp_path / "phi",
        "--estimates",
        "4",
    )
    assert read_grid(tmp_path / "phi" / "fes.dat").names == ("phi",)


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
def test_command_on_other_columns(double_well_run: Path, tmp_path: Path) -> None:
    colvar = read_table(double_well_run / "COLVAR")
    square = np.hstack([colvar.values, colvar["x"][:, None] ** 2, np.full((len(colvar), 1), 2.0)])
    table = Table((*colvar.fields, "square", "wall.bias"), {}, square)
    write_table(tmp_path / "COLVAR", table, "%23.16g ")
    files = (double_well_run / "HILLS", "--colvar", tmp_path / "COLVAR", "--temperature", "300")
    run_command(
        fes,
        *files,
        "--cvs",
        "square",
        "--skip",
        "16",
        "--min",
        "0",
        "--max",
        "2",
        "--bin",
        "40",
        "-o",
        tmp_path / "out",
    )
    surface = read_grid(tmp_path / "out" / "fes-reweighted.dat")
    # F(x^2) has the Jacobian of two branches: -kT ln(sum over both exp(-F/kT) / (2 |x|)).
    x = np.sqrt(surface.axes[0].points[4:30])
    branches = sum(np.exp(-double_well(sign * x[:, None]) / KT) for sign in (-1.0, 1.0)) / (2.0 * x)
    off = surface.values[4:30] + KT * np.log(branches)
    assert np.abs(off - off.mean()).max() < 1.0
    assert (tmp_path / "out" / "fes-reweighted.png").is_file()


@pytest.mark.filterwarnings("ignore:.*lie outside the grid")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder nowhere"),
        ([DATA], None),
        ([DATA.parent], "has no file HILLS"),
        ([DATA / "fes.dat"], "is not a HILLS file: it has no column 'time' or 'height'"),
        ([DATA / "README.md"], "is not a table of PLUMED"),
        (
            [DATA / "HILLS", "--basin", "a=phi:0:1", "--basin", "b=phi:1:2"],
            "give --temperature: the free energy of basins",
        ),
        ([DATA / "HILLS", "--cvs", "phi"], "give --temperature: the free energy of fewer variables"),
        ([DATA / "HILLS", "--cvs", "psi"], "not of psi: the free energy of other variables comes from a COLVAR file"),
        ([DATA / "HILLS", "--reweight", "rbias", "--temperature", "300"], "needs the COLVAR file of the run"),
        ([DATA / "HILLS", "--reweight", "best"], "'best' is no way to weight frames; known are rbias and final"),
        ([DATA / "HILLS", "--temperature", "-5"], "not above zero"),
        (
            [DATA / "HILLS", "--temperature", "300", "--basin", "a=d2:0:1", "--basin", "b=d1:0:1"],
            "the variables are phi, d1",
        ),
        (
            [DATA / "HILLS", "--temperature", "300", "--basin", "a=d1:5:6", "--basin", "b=d1:0:1"],
            "no point of the grid",
        ),
        (
            [DATA / "HILLS", "--min", "-pi,2", "--max", "pi,3"],
            "no hill lies on the grid phi -3.14159 to 3.14159, d1 2 to 3",
        ),
        ([DATA / "HILLS", "--min", "0,0", "--max", "pi,1"], "phi is periodic: its grid is its whole period -pi to pi"),
        ([DATA / "HILLS", "--bin", "10"], r"1 numbers of bins for 2 variables \(phi, d1\)"),
        ([DATA / "HILLS", "--bin", "10,0"], "the grid of d1 would have 0 bins"),
        ([DATA / "HILLS", "--bin", "10,10", "--spacing", "1,1"], "not both"),
        ([DATA / "HILLS", "--bin", "ten,10"], "should be numbers with commas"),
        ([DATA / "HILLS", "--min", "-pi,1", "--max", "pi,1"], "the grid of d1 would go from 1 to 1"),
        ([DATA / "HILLS", "--unit", "volts"], "'volts' is no unit of energy"),
        ([DATA / "HILLS", "--reference", DATA / "HILLS.gaussian"], "has the variables d1, not phi, d1"),
        ([f"a={DATA / 'HILLS'}", f"b={DATA / 'HILLS.gaussian'}"], "b has other variables than a"),
        ([f"a={DATA / 'HILLS'}", f"a={DATA / 'HILLS.gaussian'}"], "are not of one run"),
    ],
)
def test_bad_input_gets_one_clear_line(arguments: list[str], message: str | None, tmp_path: Path) -> None:
    if message is None:
        run_command(fes, *arguments, "--estimates", "2", "-o", tmp_path / "out")  # a folder with a file HILLS
        return
    with pytest.raises(FfptError, match=message) as caught:
        run_command(fes, *arguments, "-o", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_verb_joins_the_group_and_leaves_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from ffpt_core.cli import main
    from ffpt_core.cli.analyze import analyze

    points = [EntryPoint("analyze.fes", "ffpt_plumed.cli.fes:fes", main.PLUGINS)]
    monkeypatch.setattr(main, "entry_points", lambda group: points)
    before = len(analyze.registered_commands)
    for _ in range(2):
        group = typer.main.get_command(main.make_app()).commands["analyze"]
        assert {"fes", "stability"} <= group.commands.keys()
    assert len(analyze.registered_commands) == before
