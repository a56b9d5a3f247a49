"""PLUMED's text tables: what is written is read, restarted and killed runs are understood, broken files refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_plumed.text.numbers import Period, plumed_number
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import COLVAR_FORMAT, GRID_FORMAT, TableWriter, write_table

HEADER = """#! FIELDS time phi sigma_phi height biasf
#! SET multivariate false
#! SET min_phi -pi
#! SET max_phi pi
"""
ROW = "                      {}    -1.5                   0.35      1.2                     10\n"


def hills(folder: Path, text: str) -> Path:
    path = folder / "HILLS"
    path.write_text(text)
    return path


def test_reads_columns_constants_and_the_period(tmp_path: Path) -> None:
    table = read_table(hills(tmp_path, HEADER + ROW.format(1) + "# a remark\n\n" + ROW.format(2)))
    assert table.fields == ("time", "phi", "sigma_phi", "height", "biasf")
    assert table.constants["multivariate"] == "false"
    assert table["time"].tolist() == [1.0, 2.0]
    assert table.columns(("height", "phi")).tolist() == [[1.2, -1.5]] * 2
    period = table.period("phi")
    assert period == Period("-pi", "pi") and (period.low, period.high) == (-math.pi, math.pi)
    assert table.period("height") is None
    with pytest.raises(FfptError, match=r"HILLS has no column 'psi'; it has time, phi"):
        table["psi"]


def test_a_table_without_rows_is_one(tmp_path: Path) -> None:
    table = read_table(hills(tmp_path, HEADER))
    assert table.values.shape == (0, 5)
    assert len(table) == 0


def test_headers_of_restarts_repeat(tmp_path: Path) -> None:
    table = read_table(hills(tmp_path, HEADER + ROW.format(1) + HEADER + ROW.format(2)))
    assert table["time"].tolist() == [1.0, 2.0]


def test_the_last_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    for rest in ("        3     -1.", ROW.format(3).rstrip("\n")):
        path = hills(tmp_path, HEADER + ROW.format(1) + ROW.format(2) + rest)
        with pytest.warns(FfptWarning, match=r"HILLS: left out line 7"):
            assert read_table(path)["time"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + ROW.format(1) + HEADER.replace("phi", "psi"),
            r"line 6: .* FIELDS time phi .* becomes FIELDS time psi",
        ),
        (HEADER + HEADER.replace("-pi", "0"), r"line 5: a restarted run must keep .* min_phi -pi becomes 0"),
        (
            HEADER + "#! FIELDS time phi sigma_phi height biasf\n" + ROW.format(1),
            r"multivariate false becomes \(not set\)",
        ),
        (HEADER + ROW.format(1) + "2 0.1\n" + ROW.format(3), r"line 6: 2 columns where FIELDS names 5"),
        (HEADER + ROW.format(1) + ROW.format("2 7"), r"line 6: 6 columns where FIELDS names 5"),
        (HEADER + "1 2 3\n1 2 3\n", r"line 5: 3 columns where FIELDS names 5"),
        (HEADER + ROW.format("1.2.3"), r"line 5: could not convert string to float: '1.2.3'"),
        (ROW.format(1), r"HILLS is not a table of PLUMED"),
        ("", r"HILLS is not a table of PLUMED"),
        ("#! SET a b\n" + HEADER, r"line 1: SET stands before FIELDS"),
        ("#! FIELDS time time\n", r"line 1: FIELDS should name every column once"),
    ],
)
def test_broken_files_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FfptError, match=message):
        read_table(hills(tmp_path, text))


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match="cannot read"):
        read_table(tmp_path / "HILLS")
    (tmp_path / "HILLS").write_bytes(bytes(range(128, 256)))
    with pytest.raises(FfptError, match="not a text file"):
        read_table(tmp_path / "HILLS")


def test_rows_are_written_as_plumed_writes_them(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "HILLS", ("time", "d1", "height"), {"multivariate": "false"}) as writer:
        writer.write((0.02, 1.0 / 3.0, 1.2))
        # A line is in the file as soon as it is written, not when the file is closed.
        assert (tmp_path / "HILLS").read_text() == (
            "#! FIELDS time d1 height\n#! SET multivariate false\n"
            "                   0.02     0.3333333333333333                    1.2\n"
        )
    write_table(tmp_path / "COLVAR", Table(("time", "d1"), {}, np.array([[0.5, -2.0]])), COLVAR_FORMAT)
    assert (tmp_path / "COLVAR").read_text() == "#! FIELDS time d1\n 0.500000 -2.000000\n"
    grid = Table(("x", "y", "fes"), {"nbins_x": " 2"}, np.arange(12.0).reshape(4, 3))
    write_table(tmp_path / "fes.dat", grid, GRID_FORMAT, block=2)
    lines = (tmp_path / "fes.dat").read_text().split("\n")
    assert lines[1] == "#! SET nbins_x  2"
    assert lines[2] == "    0.000000000    1.000000000    2.000000000"
    assert lines[4] == ""
    assert read_table(tmp_path / "fes.dat").values.tolist() == grid.values.tolist()


def test_every_column_can_have_a_format(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "HILLS", ("time", "clock"), {}, formats=(" %f", " %d")) as writer:
        writer.write((0.5, 12))
    assert (tmp_path / "HILLS").read_text().endswith("\n 0.500000 12\n")
    with pytest.raises(ValueError, match="1 formats for 2 fields"):
        TableWriter(tmp_path / "HILLS", ("time", "clock"), {}, formats=(" %f",))


def test_appending_continues_after_the_last_whole_line(tmp_path: Path) -> None:
    path = hills(tmp_path, HEADER + ROW.format(1) + "       2    -1.")
    fields = ("time", "phi", "sigma_phi", "height", "biasf")
    with TableWriter(path, fields, {"multivariate": "false", "min_phi": "-pi", "max_phi": "pi"}, append=True) as writer:
        writer.write((2.0, -1.0, 0.35, 1.1, 10.0))
    assert read_table(path)["height"].tolist() == [1.2, 1.1]
    before = path.read_text()
    with pytest.raises(FfptError, match=r"cannot continue .*HILLS: FIELDS time phi .* becomes FIELDS time psi"):
        TableWriter(path, ("time", "psi", *fields[2:]), {}, append=True)
    with pytest.raises(FfptError, match=r"cannot continue .*HILLS: multivariate false becomes true"):
        TableWriter(path, fields, {"multivariate": "true"}, append=True)
    assert path.read_text() == before


def test_appending_to_nothing_begins(tmp_path: Path) -> None:
    for name, text in (("empty", ""), ("unfinished", "#! FIEL"), ("new", None)):
        if text is not None:
            (tmp_path / name).write_text(text)
        with TableWriter(tmp_path / name, ("time",), {}, append=True) as writer:
            writer.write((1.0,))
        assert read_table(tmp_path / name).values.tolist() == [[1.0]]


def test_a_file_that_is_there_is_kept_under_another_name(tmp_path: Path) -> None:
    for number in range(3):
        with TableWriter(tmp_path / "HILLS", ("time",), {}) as writer:
            writer.write((float(number),))
    assert read_table(tmp_path / "HILLS").values.tolist() == [[2.0]]
    assert read_table(tmp_path / "bck.0.HILLS").values.tolist() == [[0.0]]
    assert read_table(tmp_path / "bck.1.HILLS").values.tolist() == [[1.0]]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FfptError, match="cannot write"):
        TableWriter(tmp_path / "file" / "HILLS", ("time",), {})


@settings(max_examples=30, deadline=None)
@given(values=arrays(float, st.tuples(st.integers(0, 6), st.integers(1, 4)), elements=st.floats(-1e12, 1e12)))
def test_numbers_survive(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("table") / "HILLS"
    table = Table(tuple("abcd"[: values.shape[1]]), {"min_a": "-pi", "max_a": "pi"}, values)
    write_table(path, table)
    again = read_table(path)
    assert again.fields == table.fields
    assert again.constants == table.constants
    # 16 digits, as PLUMED writes them.
    np.testing.assert_allclose(again.values, values, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-1.5e3", -1500.0),
        ("-pi", -math.pi),
        ("2*pi", 2 * math.pi),
        ("+pi/2", math.pi / 2),
        ("0.5pi", math.pi / 2),
        ("pi*pi", math.pi**2),
    ],
)
def test_numbers_as_plumed_has_them(text: str, number: float) -> None:
    assert plumed_number(text) == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize("text", ["", "pie", "two", "pi*two"])
def test_other_words_are_no_numbers(text: str) -> None:
    with pytest.raises(FfptError, match="is not a number"):
        plumed_number(text)
