"""Actions that native PLUMED does not have: each is a function, or a class with a state, and a name in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plumed_reference as reference
import pytest

from ffpt_core import FfptError
from ffpt_plumed.native.actions import ACTIONS
from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.stateful import Moment, StatefulBias
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.tables import read_table


def read_sum_of_squares(keywords: Keywords, translation: Translation) -> None:
    """SUM_OF_SQUARES ARG=: without a state."""
    squares = "+".join(f"{value.variable}^2" for value in translation.arguments(keywords))
    translation.add_function(keywords.action.label, squares)


class Ratchet(StatefulBias):
    """KAPPA/2 (x - the smallest x seen)^2 above it, as PLUMED's ABMD with TO far below; it looks every STRIDE steps."""

    def __init__(self, keywords: Keywords, translation: Translation) -> None:
        super().__init__(keywords.action.label, tuple(translation.arguments(keywords)), keywords.positive("STRIDE", 1))
        self.kappa = keywords.number("KAPPA")
        self.path = translation.folder / keywords.text("FILE")
        self.smallest = np.inf
        self.saved: list[float] = []

    def evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        beyond = max(point[0] - self.smallest, 0.0)
        return 0.5 * self.kappa * beyond**2, np.array([self.kappa * beyond])

    def begin(self, step: int, timestep: float) -> bool:
        return True

    def open(self) -> None:
        self.path.touch()

    def act(self, moment: Moment) -> None:
        self.smallest = min(self.smallest, moment.values[self.arguments[0].name])

    def save(self, moment: Moment) -> None:
        self.path.write_text(f"{self.path.read_text()}{moment.step} {self.smallest!r}\n")

    def close(self) -> None:
        self.path.write_text(self.path.read_text() + "closed\n")


def read_ratchet(keywords: Keywords, translation: Translation) -> None:
    translation.add_stateful(Ratchet(keywords, translation), ["bias"])


SCRIPT = """d: DISTANCE ATOMS=1,2
e: DISTANCE ATOMS=1,3
s: SUM_OF_SQUARES ARG=d,e
r: RATCHET ARG=s KAPPA=1000 STRIDE=2 FILE=ratchet
PRINT ARG=s,r.bias FILE=COLVAR FMT=%.12f
"""


def test_a_new_action_is_a_name_and_a_function(tmp_path: Path) -> None:
    with ACTIONS.added("SUM_OF_SQUARES", read_sum_of_squares), ACTIONS.added("RATCHET", read_ratchet):
        frames = reference.frames(9, False)
        driven = reference.drive_native(SCRIPT, frames, False, tmp_path)
    vectors = frames[:, 1:3] - frames[:, :1]
    squares = (vectors**2).sum(axis=(1, 2))
    smallest = [squares[: step + 1 : 2].min() for step in range(9)]
    # The state of a step acts from the next one on.
    beyond = np.maximum(squares - [np.inf, *smallest[:-1]], 0.0)
    assert beyond.max() > 1e-4
    np.testing.assert_allclose(driven.energies, 500 * beyond**2, rtol=1e-12, atol=1e-15)
    forces = np.zeros_like(frames)
    forces[:, 1:3] = -(1000 * beyond)[:, None, None] * 2 * vectors
    forces[:, 0] = -forces.sum(axis=1)
    np.testing.assert_allclose(driven.forces, forces, rtol=1e-10, atol=1e-12)
    colvar = driven.tables["COLVAR"]
    np.testing.assert_allclose(colvar["s"], squares, atol=1e-11)
    np.testing.assert_allclose(colvar["r.bias"], driven.energies, atol=1e-11)
    *rows, end = (tmp_path / "ratchet").read_text().splitlines()
    assert [int(row.split()[0]) for row in rows] == [0, 2, 4, 6, 8] and end == "closed"
    np.testing.assert_allclose([float(row.split()[1]) for row in rows], smallest[::2], rtol=1e-12)


def test_its_values_are_known_to_the_actions_behind_it_as_any_others() -> None:
    with ACTIONS.added("SUM_OF_SQUARES", read_sum_of_squares), ACTIONS.added("RATCHET", read_ratchet):
        with pytest.raises(FfptError, match=r"line 5: RESTRAINT: r.bias can only be printed natively"):
            reference.native_context(SCRIPT.replace("PRINT ARG=s,r.bias", "RESTRAINT ARG=r.bias AT=0"), 3)
        with pytest.raises(FfptError, match=r"line 4: RATCHET: native PLUMED does not know KAPA"):
            reference.native_context(SCRIPT.replace("KAPPA=1000", "KAPPA=1000 KAPA=2"), 3)
    with pytest.raises(FfptError, match=r"line 3: SUM_OF_SQUARES: native PLUMED does not know this action"):
        reference.native_context(SCRIPT, 3)


def test_every_action_of_the_table_is_there() -> None:
    """Names are text until an input has them."""
    assert {"DISTANCE", "METAD", "PRINT"} <= set(ACTIONS.all())
    assert all(callable(read) for read in ACTIONS.all().values())


def test_a_table_is_written_before_the_bias_that_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in between must leave a row whose bias is without the hill, and no hill without its row."""
    script = (
        "d: DISTANCE ATOMS=1,2\nm: METAD ARG=d SIGMA=0.01 HEIGHT=1 PACE=2\nPRINT ARG=d,m.bias FILE=COLVAR STRIDE=2\n"
    )
    bias, context = reference.native_context(script, 3, folder=tmp_path)
    context.setPositions(reference.frames(1, False)[0][:3])
    bias.update(context)

    def killed(self: object, moment: Moment) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ffpt_plumed.native.metad.Metad.save", killed)
    context.setStepCount(2)
    with pytest.raises(KeyboardInterrupt):
        bias.update(context)
    assert len(read_table(tmp_path / "COLVAR")) == 2 and len(read_table(tmp_path / "HILLS")) == 0
