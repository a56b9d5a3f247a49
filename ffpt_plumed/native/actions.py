"""The actions that run natively, and the translation of an input by them.

An action is a function that takes its Keywords and adds to the Translation: a value (add_colvar, add_function), a bias
that is a function of values (add_bias), or something that acts between steps (add_stateful, see StatefulAction). A new
one is a line in this table and a function in a module beside it; other packages add theirs by entry points.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ffpt_core.base.registry import Registry
from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.plumed_input import PlumedInput

ACTIONS: Registry[Callable[[Keywords, Translation], None]] = Registry(
    "ffpt.plumed_actions",
    "native PLUMED action",
    {
        "UNITS": "ffpt_plumed.native.general:read_units",
        "GROUP": "ffpt_plumed.native.general:read_group",
        "RESTART": "ffpt_plumed.native.general:read_restart",
        "FLUSH": "ffpt_plumed.native.general:read_flush",
        "DISTANCE": "ffpt_plumed.native.colvars:read_distance",
        "ANGLE": "ffpt_plumed.native.colvars:read_angle",
        "TORSION": "ffpt_plumed.native.colvars:read_torsion",
        "COORDINATION": "ffpt_plumed.native.colvars:read_coordination",
        "COMBINE": "ffpt_plumed.native.functions:read_combine",
        "CUSTOM": "ffpt_plumed.native.functions:read_custom",
        "MATHEVAL": "ffpt_plumed.native.functions:read_custom",
        "RESTRAINT": "ffpt_plumed.native.restraints:read_restraint",
        "UPPER_WALLS": "ffpt_plumed.native.restraints:read_walls",
        "LOWER_WALLS": "ffpt_plumed.native.restraints:read_walls",
        "METAD": "ffpt_plumed.native.metad:read_metad",
        "PRINT": "ffpt_plumed.native.output:read_print",
    },
)
"""By name in capitals: what reads the keywords of one action."""


def translate(
    script: PlumedInput,
    n_atoms: int,
    periodic: bool = False,
    temperature: float | None = None,
    restart: bool = False,
    folder: Path = Path(),
) -> Translation:
    """What an input computes. Arguments as in Translation.

    Raises:
        FfptError: an action, keyword or value that is not known or wrong, with its line.
    """
    translation = Translation(n_atoms, periodic, temperature, restart, folder)
    known = set(ACTIONS.names())
    for action in script.actions:
        keywords = Keywords(action, translation.groups, n_atoms)
        if action.name not in known:
            raise keywords.error(f"native PLUMED does not know this action; {KERNEL_HINT}")
        ACTIONS.get(action.name)(keywords, translation)
        keywords.finish()
    return translation
