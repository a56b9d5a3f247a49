"""The report: one file with everything inside, right numbers in its tables, clear errors."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.morse import MorsePotential
from typer.testing import CliRunner

from ffpt_core.analysis.audit import audit_potential
from ffpt_core.analysis.audit_table import costs_table, holes_table
from ffpt_core.analysis.stability import FailureTime, stability_table, survival
from ffpt_core.base.errors import FfptError
from ffpt_core.base.figures import colours, new_figure, save_figure
from ffpt_core.base.files import to_json, write_json
from ffpt_core.datasets import Dataset, summary
from ffpt_core.report import Report, build_report, render
from ffpt_core.report.collect import collect
from ffpt_core.report.results import side_by_side, table_of
from ffpt_core.training.results import training_table
from ffpt_plumed.free_energy import Basin, GridChoice, Options, Source, analyse, basin_energy
from ffpt_plumed.free_energy.record import to_record as to_fes_record
from ffpt_plumed.free_energy.results import fes_table
from ffpt_plumed.reactions.records import reaction
from ffpt_plumed.reactions.results import species_table
from ffpt_plumed.reactions.species import SpeciesCount
from ffpt_plumed.reactions.species_runs import ReplicaSpecies, Stop, to_record
from ffpt_plumed.text.tables import Table
from ffpt_plumed.text.writing import write_table


class Page(HTMLParser):
    """What a reader sees: text, links, pictures; and whether all elements are closed."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.cells: list[list[str]] = []
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "tr":
            self.cells.append([])
        if tag == "td":
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.text.append(" ".join(data.split()))
            if "td" in self.open:
                self.cells[-1][-1] += data


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a picture, a data file and a report.json that shows them."""
    figure, (axes,) = new_figure(width=4.0, height=2.0)
    axes.plot([0, 1], [0, 1])
    save_figure(figure, tmp_path / "line.png")
    write_json(tmp_path / "data.json", {"a": 1})
    content = {
        "title": "Aspirin <b>",
        "summary": "First **bold**.\n\nSecond, see https://example.org/x.",
        "headline": [{"label": "Force MAE", "value": "17.3 meV/Å", "detail": "from scratch 24.9"}],
        "flow": [{"title": "Teacher", "value": "GAFF-2.11"}, {"title": "Fine-tune", "value": "300 frames"}],
        "sections": [
            {
                "title": "Errors & co",
                "text": "Run `ffpt evaluate`.",
                "tables": [
                    {"columns": ["Potential", "meV"], "rows": [["a", 12.3456], ["b", None]], "caption": "Here."}
                ],
                "figures": [{"path": "line.png", "caption": "A line."}],
                "files": [{"path": "data.json", "text": "the numbers"}],
            },
            {"title": "More", "figures": [{"path": "line.png", "caption": "Again."}]},
        ],
        "commands": ["ffpt report results"],
        "versions": {"ffpt": "1.2.3"},
    }
    write_json(tmp_path / "report.json", content)
    return tmp_path


def edit(folder: Path, change: Any) -> None:
    content = json.loads((folder / "report.json").read_text())
    change(content)
    (folder / "report.json").write_text(json.dumps(content))


def test_page_is_one_file_with_everything_inside(results: Path) -> None:
    html = build_report(results).read_text()
    page = Page(html)
    assert len(page.images) == 2
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.images)
    assert not re.search(r"<script|<link|@import|url\(|src=\"(?!data:)", html)
    text = " ".join(page.text)
    for expected in ("17.3 meV/Å", "GAFF-2.11", "Figure 1.", "Figure 2.", "Table 1.", "1.2.3", "ffpt report results"):
        assert expected in text
    assert [row for row in page.cells if row] == [["a", "12.35"], ["b", "–"]]
    # Four inches at the page's scale, whatever the resolution of the file.
    assert page.images[0]["width"] == "472"


def test_text_is_escaped_and_marked_up(results: Path) -> None:
    html = build_report(results).read_text()
    assert "Aspirin &lt;b&gt;" in html and "<strong>bold</strong>" in html and "<code>ffpt evaluate</code>" in html
    assert '<a href="https://example.org/x">https://example.org/x</a>.' in html
    assert "Errors &amp; co" in html and 'id="errors-co"' in html


def test_links_are_relative_to_the_page(results: Path, tmp_path: Path) -> None:
    assert "data.json" in Page(build_report(results).read_text()).links
    elsewhere = build_report(results, tmp_path / "pages" / "one.html")
    assert "../data.json" in Page(elsewhere.read_text()).links


def test_page_knows_light_and_dark_and_small_screens(results: Path) -> None:
    html = build_report(results).read_text()
    assert "prefers-color-scheme: dark" in html and 'name="viewport"' in html and "max-width: 40rem" in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("title"), "title: Field required"),
        (lambda c: c["sections"][0].update(figure=[]), r"sections\.0\.figure: Extra inputs are not permitted"),
        (lambda c: c["sections"][0]["tables"][0]["rows"].append(["c"]), "row 3 has 1 cells for 2 columns"),
        (lambda c: c["sections"][1]["figures"][0].update(path="no.png"), r"no\.png of the report cannot be read"),
        (lambda c: c["sections"][1]["figures"][0].update(path="data.json"), r"data\.json: pictures of a report end in"),
        (lambda c: c["sections"][0]["files"][0].update(path="no.csv"), r"no\.csv that the report links to is missing"),
    ],
)
def test_wrong_reports_are_refused_and_nothing_is_written(results: Path, change: Any, message: str) -> None:
    edit(results, change)
    with pytest.raises(FfptError, match=message):
        build_report(results)
    assert not (results / "report.html").exists()


def test_folders_without_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match="no folder"):
        build_report(tmp_path / "none")
    with pytest.raises(FfptError, match=r"no report\.json and no results"):
        build_report(tmp_path)


def plain(value: Any) -> Any:
    return json.loads(to_json(value))


@pytest.fixture
def audits() -> list[dict[str, Any]]:
    strong = MorsePotential(epsilon=4.5, r0=0.74, rho0=1.5, rcut1=50.0, rcut2=60.0)
    weak = MorsePotential(epsilon=0.5, r0=0.74, rho0=1.5, rcut1=50.0, rcut2=60.0)
    hydrogen = molecule("H2")
    return [
        plain(audit_potential(one, hydrogen, label=label).to_dict())
        for label, one in (("strong", strong), ("weak", weak))
    ]


@pytest.fixture
def stability() -> dict[str, Any]:
    lost = FailureTime(3.25, None, "bond C4-H18 is 1.72 A, reference 1.09 A", False)
    curves = {"scratch": survival([lost, FailureTime(10.0, None, "", True)])}
    return plain({"survival": {label: curve.to_dict() for label, curve in curves.items()}})


def test_tables_have_the_numbers_of_the_files(audits: list[dict[str, Any]], stability: dict[str, Any]) -> None:
    holes = holes_table(audits)
    assert [row[:2] for row in holes.rows] == [["strong", "0 of 1"], ["weak", "1 of 1"]]
    assert holes.rows[0][3] is None and "less than 2 eV to stretch it by 0.8 Å" in holes.caption
    costs = costs_table(audits, "bond H0-H1")
    assert costs.columns == ["Potential", *(f"{length}\N{NO-BREAK SPACE}Å (eV)" for length in (1.8, 2.2, 3))]
    morse = 0.5 * (1 - np.exp(-1.5 * (2.2 / 0.74 - 1))) ** 2 - 0.5 * (1 - np.exp(-1.5 * (0.737166 / 0.74 - 1))) ** 2
    assert float(costs.rows[1][2]) == pytest.approx(morse, abs=0.006)
    row = stability_table(stability).rows[0]
    assert row[:4] == ["scratch", "1 of 2", "3.25", "13.2"]
    assert row[5] == "bond C4-H18 is 1.72 Å, reference 1.09 Å"
    errors = {"energy_mae": 0.00641, "force_mae": 0.0224, "frames": 1150}
    result = {"test": errors, "train_frames": 950, "epochs": 530, "training_seconds": 5400.0}
    trained = training_table(result)
    assert trained.caption == "Errors on 1,150 test frames."
    trained = side_by_side("Potential", {"scratch": trained}, "On CCSD frames.")
    assert trained.rows == [["scratch", "6.4", "22.4", 950, 530, "90 min"]]


def test_table_of_molecules() -> None:
    names = np.array(["HO2"] * 6 + ["H + O2"] * 3 + ["O + OH"])
    count = SpeciesCount(names, frozenset({"HO2", "H + O2"}), 0.5 * np.arange(1, 11))
    stopped = ReplicaSpecies("run/0", count, Stop(5.0, "two atoms collide"))
    table = species_table(plain(to_record(reaction(9), {"scratch": [stopped]})))
    assert table.rows == [["scratch", 10, "HO2 60 %, H + O2 30 %, O + OH 10 %", "10 %", "5.00", "1 of 1"]]
    assert "H + O2 -> HO2" in table.caption


@pytest.mark.parametrize(("distance", "barrier"), [(0.7, r"\d\.\d"), (3.0, r"at least 10\.0")])
def test_table_of_free_energies(distance: float, barrier: str, tmp_path: Path) -> None:
    """Two hills of 5 kJ/mol in one well and one in another; far apart, nothing is known of the way between them."""
    hills = Table(
        ("time", "x", "sigma_x", "height", "biasf"),
        {"multivariate": "false"},
        np.array([[float(time), x, 0.2, 5.0, -1.0] for time, x in enumerate((0.0, distance, 0.0))]),
    )
    write_table(tmp_path / "HILLS", hills)
    basins = (Basin("left", {"x": (-0.3, 0.3)}), Basin("right", {"x": (distance - 0.3, distance + 0.3)}))
    grid = GridChoice((-1.0,), (distance + 1.0,), None, (0.05,))
    options = Options(temperature=300.0, grid=grid, basins=basins, estimates=2)
    surface = analyse(Source((tmp_path / "HILLS",)), options)
    surfaces = {"tuned": to_fes_record(surface, options, 1.0)}
    table = fes_table(plain({"unit": "kJ/mol", "within": 40.0, "surfaces": surfaces}))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["Potential"] == "tuned" and row["Hills"] == 3 and row["Time (ps)"] == "2.0"
    assert row["Minimum"] == "x 0.00"
    assert re.fullmatch(barrier, str(row["Barrier (kJ/mol)"]))
    expected = basin_energy(surface.fes, basins[1], 300.0) - basin_energy(surface.fes, basins[0], 300.0)
    assert float(str(row["right over left (kJ/mol)"])) == pytest.approx(expected, abs=0.051)
    assert 4.0 < expected < 6.0


def test_folder_without_report_is_shown_as_found(
    tmp_path: Path, audits: list[dict[str, Any]], stability: dict[str, Any]
) -> None:
    write_json(tmp_path / "scans" / "audit.json", audits)
    write_json(tmp_path / "md" / "stability.json", stability)
    figure, _ = new_figure()
    save_figure(figure, tmp_path / "md" / "stability.png")
    result = CliRunner().invoke(_application(), [str(tmp_path), "-o", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.exception
    page = Page((tmp_path / "page.html").read_text())
    assert page.text.index("Scans and holes") < page.text.index("Stability")
    assert len(page.images) == 1 and {"scans/audit.json", "md/stability.json"} <= set(page.links)
    (tmp_path / "scans" / "audit.json").write_text('{"other": 1}')
    with pytest.raises(FfptError, match=r"audit\.json is not a file that ffpt wrote"):
        build_report(tmp_path)


def _application() -> Any:
    import typer

    from ffpt_core.cli.report import report

    application = typer.Typer()
    application.command()(report)
    return application


def test_versions_are_found_where_none_are_given(tmp_path: Path) -> None:
    html = render(Report(title="t"), tmp_path)
    assert f"<b>numpy</b> {np.__version__}" in html


def test_models_keep_their_colours_in_any_order() -> None:
    first = colours(["DFT", "from scratch", "pre-trained + fine-tuned", "other"], reference="DFT")
    second = colours(["other", "pre-trained + fine-tuned", "from scratch"])
    assert first["DFT"] == "#000000"
    assert {label: second[label] for label in second if label != "other"} == {
        label: first[label] for label in ("from scratch", "pre-trained + fine-tuned")
    }
    assert len(set(first.values())) == 4
    many = colours([f"model {number}" for number in range(8)])
    assert len(set(many.values())) == 8


def test_pictures_of_unknown_kind_are_refused(tmp_path: Path) -> None:
    figure, _ = new_figure()
    with pytest.raises(FfptError, match=r"pictures end in \.png"):
        save_figure(figure, tmp_path / "a.txt")
    save_figure(figure, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_results_of_all_packages_are_shown_in_the_order_of_the_work(tmp_path: Path) -> None:
    """Each owner's table, of files as the verbs write them; learning curves also of a training that goes on."""
    errors = {"energy_mae": 0.00641, "force_mae": 0.0224, "frames": 1150}
    trained = {"validation": errors, "test": None, "train_frames": 950, "epochs": 530}
    replicas = [
        {"status": "finished", "time_ps": 10.0, "reason": ""},
        {"status": "failed", "time_ps": 2.5, "reason": "bond C4-H18 is 1.72 A"},
    ]
    run = {
        "format": "ffpt-md",
        "settings": {"temperature": 300.0, "friction": 2.0, "length": 10.0},
        "potential": {"source": "tuned/potential.pt"},
        "replicas": replicas,
    }
    write_json(tmp_path / "metad" / "run.json", run | {"bias": {"source": "reaction 9"}})
    write_json(tmp_path / "md" / "run.json", run)
    write_json(tmp_path / "tuned" / "result.json", trained)
    rattled = {"level": "GAFF-2.11", "frames": 1000, "sigma_A": 0.2, "sigma_min_A": 0.0, "temperature_K": 800.0}
    write_json(tmp_path / "rattled.json", rattled | {"seconds": 6.0, "frames_per_second": 167.0})
    write_json(
        tmp_path / "teacher" / "teacher.json", {"level": "GAFF-2.11", "name": "aspirin", "charges_e": [0.0] * 21}
    )
    dataset = Dataset.from_atoms([molecule("H2O")])
    write_json(tmp_path / "info.json", {"file": "water.npz", **summary(dataset).to_dict()})
    write_json(tmp_path / "settings.json", {"seed": 0})  # nobody's
    figure, _ = new_figure()
    for name in ("rattled.png", "tuned/learning_curve.png", "scratch/learning_curve.png"):
        save_figure(figure, tmp_path / name)

    report = collect(tmp_path)
    sections = {section.title: section for section in report.sections}
    assert list(sections) == [
        "Teachers", "Data sets", "Rattled frames", "Training", "Molecular dynamics", "Metadynamics"
    ]  # fmt: skip
    assert [one.path for one in sections["Rattled frames"].figures] == ["rattled.png"]
    assert [one.path for one in sections["Training"].figures] == [
        "scratch/learning_curve.png", "tuned/learning_curve.png"
    ]  # fmt: skip
    assert sections["Training"].tables[0].rows == [["6.4", "22.4", 950, 530, None]]
    assert sections["Training"].tables[0].caption == "Errors on 1,150 validation frames. (`tuned`)"
    assert sections["Teachers"].tables[0].rows == [["GAFF-2.11", "aspirin", None, 21]]
    assert sections["Data sets"].tables[0].rows[0][:4] == ["water.npz", 1, "3", "H2O (1)"]
    assert sections["Rattled frames"].tables[0].rows == [["GAFF-2.11", 1000, "0 to 0.2", 800.0, "6 s"]]
    expected = ["tuned/potential.pt", "300", "10", 2, "12.5", "1 of 2", "2.50 ps: bond C4-H18 is 1.72 Å"]
    assert sections["Molecular dynamics"].tables[0].rows == [expected]
    assert sections["Metadynamics"].tables[0].rows == [[*expected, "reaction 9"]]
    assert [link.path for link in sections["Metadynamics"].files] == ["metad/run.json"]


def test_files_that_nobody_knows_have_no_table(tmp_path: Path) -> None:
    write_json(tmp_path / "settings.json", {"seed": 0})
    with pytest.raises(FfptError, match=r"settings\.json is no result of ffpt"):
        table_of(tmp_path / "settings.json")
