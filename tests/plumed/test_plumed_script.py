"""PLUMED input is read as PLUMED reads it, and broken input is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffpt_core import FfptError
from ffpt_plumed.text.script import expand_range, parse_script, split_values


def test_one_line_each() -> None:
    actions = parse_script(
        """
# a comment
UNITS LENGTH=A   # and another
d: DISTANCE ATOMS=1,2 NOPBC
metad LABEL=m ARG=d sigma=0.1

\tPRINT ARG=m.bias
"""
    )
    assert [(a.name, a.label, a.line) for a in actions] == [
        ("UNITS", "@0", 3),
        ("DISTANCE", "d", 4),
        ("METAD", "m", 5),
        ("PRINT", "@3", 7),
    ]
    assert actions[1].keywords == {"ATOMS": "1,2"} and actions[1].flags == ("NOPBC",)
    assert actions[2].keywords == {"ARG": "d", "SIGMA": "0.1"}


@pytest.mark.parametrize(
    ("first", "last"),
    [("METAD ...", "... METAD"), ("METAD ...", "..."), ("m: METAD ...", "..."), ("m: METAD ...", "... METAD")],
)
def test_continuation(first: str, last: str) -> None:
    text = f"{first}\n  LABEL=m ARG=d  # of d\n\n  # nothing here\n  SIGMA=0.1\n{last}\nPRINT ARG=d\n"
    metad, output = parse_script(text.replace("LABEL=m ", "") if ":" in first else text)
    assert (metad.name, metad.label, metad.keywords) == ("METAD", "m", {"ARG": "d", "SIGMA": "0.1"})
    assert (metad.lines["ARG"], metad.lines["SIGMA"], output.line) == (2, 5, 7)


def test_brackets_hold_values_together() -> None:
    text = "c: COORDINATION SWITCH={RATIONAL R_0=0.1 D_MAX=0.3} GROUPA=1\n"
    text += "c2: COORDINATION ...\nSWITCH={EXP\nR_0=1} NOPBC\n..."
    one, two = parse_script(text)
    assert one.keywords == {"SWITCH": "RATIONAL R_0=0.1 D_MAX=0.3", "GROUPA": "1"}
    assert two.keywords == {"SWITCH": "EXP R_0=1"} and two.flags == ("NOPBC",)


def test_nothing_is_read_after_endplumed() -> None:
    assert [a.name for a in parse_script("d: DISTANCE ATOMS=1,2\nENDPLUMED\nthis is no action")] == ["DISTANCE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d: DISTANCE ATOMS=1,2\nd: DISTANCE ATOMS=1,3", r"line 2: label d was given already in line 1"),
        ("\nd: DISTANCE ATOMS=1,2 ATOMS=1,3", r"line 2: ATOMS is given twice"),
        ("PRINT ...\nARG=d\n", r"line 1: the '\.\.\.' of this action is never closed"),
        ("PRINT ...\nARG=d\n... METAD", r"line 3: '\.\.\. METAD' does not close PRINT of line 1"),
        ("PRINT ...\nARG=d ...\n...", r"line 2: '\.\.\.' within an action"),
        ("c: COORDINATION SWITCH={EXP", r"line 1: '\{' without '\}'"),
        ("c: COORDINATION SWITCH=EXP}", r"line 1: '\}' without '\{'"),
        ("d:", r"line 1: 'd:' without"),
        ("d: ATOMS=1,2", r"line 1: an action was expected where 'ATOMS=1,2' stands"),
        ("d: DISTANCE LABEL=e ATOMS=1,2", r"line 1: LABEL=e of an action that is labelled d"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(FfptError, match=message):
        parse_script(text)


@given(first=st.integers(1, 200), count=st.integers(1, 30), stride=st.integers(-7, 7).filter(bool))
def test_ranges(first: int, count: int, stride: int) -> None:
    atoms = [first + k * stride for k in range(count)]
    if min(atoms) < 1:
        atoms = [atom - min(atoms) + 1 for atom in atoms]
    # The end need not be hit.
    last = atoms[-1] + (abs(stride) - 1) * (1 if stride > 0 else -1)
    if last >= 1 and count > 1:
        assert expand_range(f"{atoms[0]}-{last}:{stride}") == [str(atom) for atom in atoms]


def test_ranges_without_a_stride() -> None:
    assert expand_range("3-5") == ["3", "4", "5"]
    assert expand_range("water") == ["water"]
    with pytest.raises(FfptError, match="a stride of 1 does not lead from 5 to 3"):
        expand_range("5-3")


def test_values_are_split_outside_of_brackets() -> None:
    assert split_values("1,2 3,max(4,5)") == ["1", "2", "3", "max(4,5)"]
