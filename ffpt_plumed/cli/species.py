"""ffpt analyze species: which molecules runs of a reaction consist of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.cli.output import show
from ffpt_core.cli.runs import Interval, Output, Runs, Topology

if TYPE_CHECKING:
    from ffpt_plumed.reactions.records import Reaction


def species(
    runs: Runs,
    reaction: Annotated[
        str | None, typer.Option(help="One of 'ffpt reactions', such as 9; default: that of the run folders.")
    ] = None,
    topology: Topology = None,
    frame_interval: Interval = None,
    output: Output = Path("analysis"),
) -> None:
    """Molecules in each frame of a reaction's runs, and the fraction of frames with some that it cannot make.

    Molecules are told by bonds (H-H below 1.00, O-H 1.25, O-O 1.65 Angstrom). Reactants, products and all of either in
    contact are allowed, whichever atom of an element is where. Writes species.json and species.png.

    \b
    Example:
      ffpt analyze species "from scratch=scratch/" tuned/ --reaction 9 -o analysis/
    """
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import to_json, write_json
    from ffpt_core.cli.runs import replicas_by_label
    from ffpt_plumed.reactions.results import species_table
    from ffpt_plumed.reactions.species_plot import plot_species
    from ffpt_plumed.reactions.species_runs import has_species, replica_species, to_record

    chosen = _reaction_of(reaction, runs)
    groups = {
        label: [replica_species(chosen, one, frame_interval) for one in replicas]
        for label, replicas in replicas_by_label(runs, topology, has_species).items()
    }
    record = to_record(chosen, groups)
    write_json(output / "species.json", record)
    save_figure(plot_species(groups), output / "species.png")
    show(record, species_table(json.loads(to_json(record))))


def _reaction_of(number: str | None, runs: Sequence[str]) -> Reaction:
    """The one asked for, or the one that all run folders were made for."""
    from ffpt_core.base.errors import FfptError
    from ffpt_core.cli.arguments import labelled
    from ffpt_plumed.reactions.records import reaction
    from ffpt_plumed.reactions.species_runs import recorded_reaction

    if number is not None:
        return reaction(number)
    found = {one.number: one for one in (recorded_reaction(labelled(run)[1]) for run in runs) if one is not None}
    if not found:
        raise FfptError("the runs do not say which reaction they are of: give its number with --reaction")
    if len(found) > 1:
        raise FfptError(f"the runs are of the reactions {' and '.join(found)}: analyse them one by one")
    return next(iter(found.values()))
