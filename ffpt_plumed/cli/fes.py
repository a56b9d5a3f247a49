"""``ffpt analyze fes``: free energies from hills and weighted frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.output import show

if TYPE_CHECKING:
    from rich.table import Table

    from ffpt_plumed.free_energy.analysis import Options, Surface
    from ffpt_plumed.free_energy.axes import GridChoice
    from ffpt_plumed.free_energy.grid import FreeEnergy
    from ffpt_plumed.free_energy.sources import Source

Number = TypeVar("Number")


def fes(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run folders or HILLS files; LABEL=PATH names them, and equal labels are walkers of one run."
        ),
    ],
    temperature: Annotated[float | None, typer.Option(help="K; default: that of the run folder.")] = None,
    colvar: Annotated[
        Path | None, typer.Option(help="COLVAR file of a single run, to weight its frames; run folders have theirs.")
    ] = None,
    reweight: Annotated[
        str | None,
        typer.Option(help="Weight frames by rbias (bias minus c(t)) or by the final bias; rbias with --colvar."),
    ] = None,
    cvs: Annotated[
        str | None, typer.Option(help="Variables of the free energy, CV1,CV2; others than the hills' need COLVAR.")
    ] = None,
    lower: Annotated[str | None, typer.Option("--min", help="Lower ends of the grid, such as -pi,0.1.")] = None,
    upper: Annotated[str | None, typer.Option("--max", help="Upper ends of the grid.")] = None,
    bins: Annotated[str | None, typer.Option("--bin", help="Numbers of bins of the grid.")] = None,
    spacing: Annotated[str | None, typer.Option(help="Spacings of the grid, instead of bins.")] = None,
    basin: Annotated[
        list[str] | None, typer.Option(help="Region NAME=CV:LOWER:UPPER,...; give it for each basin, twice or more.")
    ] = None,
    depth: Annotated[float, typer.Option(min=0.0, help="Barrier around what counts as a minimum, kJ/mol.")] = 2.5,
    within: Annotated[float, typer.Option(help="Compare so far above the minimum, and draw no less, kJ/mol.")] = 40.0,
    estimates: Annotated[int, typer.Option(min=2, help="Estimates over time.")] = 40,
    skip: Annotated[float, typer.Option(help="ps at the start of COLVAR to leave out.")] = 0.0,
    blocks: Annotated[int, typer.Option(min=2, help="Blocks for errors of weighted frames.")] = 5,
    reference: Annotated[
        Path | None, typer.Option(help="Free energy to compare with: a grid (fes.dat, kJ/mol), HILLS or a run folder.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Of the results: kJ/mol or kcal/mol.")] = "kJ/mol",
    energy_unit: Annotated[str, typer.Option(help="Of HILLS and COLVAR: kJ/mol unless UNITS changed it.")] = "kJ/mol",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("analysis"),
) -> None:
    """Free energy surfaces of metadynamics runs, their minima, barriers and convergence.

    Sums hills as plumed sum_hills does, compares estimates over time, finds the lowest barrier between two minima or
    basins, and weights frames of COLVAR. Writes fes.json, fes.png, convergence.png, and grids in PLUMED's format
    (kJ/mol): fes.dat, or fes-LABEL.dat of several runs; fes-reweighted.dat.

    \b
    Example:
      ffpt analyze fes metad/ --temperature 300 --basin "R=d1:0.1:0.2" --basin "P=d1:0.3:0.5" --unit kcal/mol -o fes/
    """
    from ffpt_core.base.files import write_json
    from ffpt_plumed.free_energy.analysis import Options, analyse, read_reference
    from ffpt_plumed.free_energy.basins import parse_basin
    from ffpt_plumed.free_energy.record import to_record

    size, scale = _energy(unit), _energy(energy_unit)
    sources = _sources(runs, colvar)
    method = reweight or ("rbias" if colvar is not None else None)
    shared = Options(
        variables=None if cvs is None else tuple(name.strip() for name in cvs.split(",")),
        grid=_grid(lower, upper, bins, spacing),
        method=method,
        skip=skip,
        blocks=blocks,
        basins=tuple(parse_basin(text) for text in basin or ()),
        depth=depth,
        within=within,
        estimates=estimates,
        energy=scale,
    )
    surfaces: dict[str, Surface] = {}
    options: dict[str, Options] = {}
    references: dict[str, FreeEnergy | None] = {}
    for label, source in sources.items():
        options[label] = _at(shared, temperature or source.temperature)
        surfaces[label] = analyse(source, options[label], progress=True)
        if surfaces[label].fes.names != next(iter(surfaces.values())).fes.names:
            raise FfptError(f"{label} has other variables than {next(iter(surfaces))}: analyse them one by one")
        references[label] = None if reference is None else read_reference(reference, surfaces[label], options[label])
    records = {label: to_record(one, options[label], size, references[label]) for label, one in surfaces.items()}
    for label, surface in surfaces.items():
        _write_grids(output, surface, "" if len(surfaces) == 1 else f"-{label.replace('/', '-')}")
    write_json(output / "fes.json", {"unit": unit, "within": within / size, "surfaces": records})
    _draw(output, surfaces, references, unit, within)
    show(records, _table(records, unit))


def _at(options: Options, temperature: float | None) -> Options:
    from dataclasses import replace

    if temperature is not None and temperature <= 0.0:
        raise FfptError(f"the temperature is {temperature:g} K, not above zero")
    return replace(options, temperature=temperature)


def _energy(unit: str) -> float:
    """The size of a unit of energy in kJ/mol."""
    from ffpt_core.base.units import ENERGY_UNITS, KJ_PER_MOL

    if unit not in ENERGY_UNITS:
        raise FfptError(f"{unit!r} is no unit of energy; known are {', '.join(ENERGY_UNITS)}")
    return ENERGY_UNITS[unit] / KJ_PER_MOL


def _numbers(text: str | None, kind: Callable[[str], Number]) -> tuple[Number, ...] | None:
    if text is None:
        return None
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise FfptError(f"{text!r} should be numbers with commas between them") from None


def _grid(lower: str | None, upper: str | None, bins: str | None, spacing: str | None) -> GridChoice:
    from ffpt_plumed.free_energy.axes import GridChoice
    from ffpt_plumed.text.numbers import plumed_number

    ends = _numbers(lower, plumed_number), _numbers(upper, plumed_number)
    return GridChoice(*ends, _numbers(bins, int), _numbers(spacing, plumed_number))


def _sources(arguments: Sequence[str], colvar: Path | None) -> dict[str, Source]:
    """The runs by label; without one, files and folders of equal names are called by their paths: they stay apart."""
    from dataclasses import replace

    from ffpt_core.cli.arguments import labelled
    from ffpt_plumed.free_energy.sources import find_source

    found: dict[str, Source] = {}
    for argument in arguments:
        label, path = labelled(argument) if "=" in argument else (Path(argument).resolve().name, argument)
        if "=" not in argument and (label in found or not Path(path).is_dir()):
            label = argument.rstrip("/")
        source = find_source(path)
        found[label] = found[label].joined(source) if label in found else source
    if colvar is not None:
        if len(found) > 1:
            raise FfptError(f"--colvar is for one run, and these are {len(found)}; give run folders, or one at a time")
        found = {label: replace(source, colvar=colvar) for label, source in found.items()}
    return found


def _write_grids(output: Path, surface: Surface, suffix: str) -> None:
    surface.fes.write(output / f"fes{suffix}.dat")
    if surface.reweighted is not None:
        surface.reweighted.fes.write(output / f"fes-reweighted{suffix}.dat")


def _draw(
    output: Path, surfaces: dict[str, Surface], references: dict[str, FreeEnergy | None], unit: str, within: float
) -> None:
    from ffpt_core.base.figures import save_figure
    from ffpt_plumed.free_energy.plots import Drawing, drawings, enough_to_see, plot_convergence, plot_surfaces

    size, ceiling = _energy(unit), enough_to_see(surfaces.values(), within)
    save_figure(plot_surfaces(drawings(surfaces, references), unit, size, ceiling), output / "fes.png")
    save_figure(plot_convergence(surfaces, unit, size), output / "convergence.png")
    weighted = [
        Drawing(label, one.reweighted.fes, error=one.reweighted.error)
        for label, one in surfaces.items()
        if one.reweighted is not None and one.reweighted.fes.names != one.fes.names
    ]
    if weighted:
        save_figure(plot_surfaces(weighted, unit, size, ceiling), output / "fes-reweighted.png")


def _table(records: dict[str, dict[str, Any]], unit: str) -> Table:
    from rich.table import Table

    table = Table("run", "quantity", unit)
    for label, record in records.items():
        table.add_row(label, f"hills: {record['n_hills']} in {record['time_ps']:g} ps", "")
        for one in record["minima"]:
            where = ", ".join(f"{name} {one[name]:.3g}" for name in record["variables"])
            table.add_row(label, f"minimum at {where}", f"{one['free_energy']:.2f}")
        path = record["path"]
        if path is not None:
            least = "at least " if path["is_lower_bound"] else ""
            table.add_row(
                label, "lowest barrier, there and back", f"{least}{path['barrier']:.2f}, {path['reverse_barrier']:.2f}"
            )
        for name, one in record["basins"].items():
            table.add_row(label, f"{name} - {one['relative_to']}", f"{one['difference']:.2f}")
            table.add_row(label, "  mean of the second half", _pair(one["mean_of_second_half"], one["block_error"]))
        for name, one in record.get("reweighted", {}).get("differences", {}).items():
            table.add_row(label, f"{name}, reweighted", _pair(one["difference"], one["error"]))
        if "reference" in record:
            both = f"{record['reference']['rms']:.2f}, {record['reference']['largest']:.2f}"
            table.add_row(label, "from the reference: RMS, largest", both)
        table.add_row(
            label, "last two estimates: RMS difference", f"{record['convergence']['rms_from_previous'][-1]:.2f}"
        )
    return table


def _pair(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" + ("" if error is None else f" ± {error:.2f}")
