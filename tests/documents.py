"""What documents and docstrings promise: blocks of code, commands of ffpt, names of modules, paths."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ffpt_core.cli.main import FLAGS, make_app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("ffpt_core", "ffpt_openmm", "ffpt_plumed", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str
    not_run: str
    """The reason in the comment ``<!-- not run: ... -->`` on the line above the block; "" where there is none."""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """All fenced blocks of a document, by its path from the root."""
    found: list[Block] = []
    lines = (ROOT / document).read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        comment = re.fullmatch(r"<!-- not run: (.+) -->", lines[start - 1]) if start else None
        text = "\n".join(lines[start + 1 : number])
        found.append(Block(document, start + 1, lines[start][3:].strip(), text, comment[1] if comment else ""))
        start = None
    assert start is None, f"{document}: the block of line {start} has no end"
    return found


def shell_lines(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block: continued lines joined, comments and prompts left out."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line.removeprefix("$ "), comments=True):
            yield words


@functools.cache
def app() -> Any:
    """The ffpt command with all its verbs."""
    return typer.main.get_command(make_app())


def _verb(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words lead to, and the words after its name. A word in capitals stands for any verb."""
    command = app()
    while words and (members := getattr(command, "commands", {})):
        if not words[0].startswith("-") and not words[0].isupper():
            assert words[0] in members, f"ffpt has no verb {words[0]!r} here; it has {', '.join(members)}"
            command, words = members[words[0]], words[1:]
        else:
            break
    return command, words


def check_command(words: list[str]) -> None:
    """Assert that ffpt takes these words after its name: the verb, each option, as many arguments as there are.

    Values are not looked at: files need not be there.
    """
    command, rest = _verb(words)
    context = command.context_class(command, info_name="ffpt")
    options, left, _ = command.make_parser(context).parse_args([word for word in rest if word not in FLAGS])
    assert not left, f"ffpt {shlex.join(words)}: {left} is too much"
    for parameter in command.params:
        given = options.get(parameter.name) not in (None, [], ())
        assert given or not parameter.required, f"ffpt {shlex.join(words)}: {parameter.name} is missing"
        assert not given or not parameter.hidden or parameter.param_type_name == "argument", parameter.name


def check_mention(words: list[str]) -> None:
    """Assert that a command in running text, which need not be complete, has a verb and options that there are."""
    command, rest = _verb(words)
    known = all_options(command)
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"ffpt {' '.join(words)}: there is no option {word}"


def options(command: Any) -> set[str]:
    """The options of one command that its help shows."""
    shown = {"--help"}
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            shown |= {*parameter.opts, *parameter.secondary_opts}
    return shown


def all_options(command: Any = None) -> set[str]:
    """The options of a command and of the verbs below it; without one, of all."""
    command = command or app()
    return options(command).union(*(all_options(one) for one in getattr(command, "commands", {}).values()))


def mentions(text: str) -> list[list[str]]:
    """Commands between backticks, a line's end or two backticks included: the words after ffpt."""
    found = re.findall(r"(?<!`)`{1,2}ffpt(\s[^`]+?)`{1,2}(?!`)", text)
    return [shlex.split(re.sub(r"\s+", " ", one)) for one in found]


def examples(source: str) -> list[list[str]]:
    """Commands of the examples in docstrings, each on a line of its own: the words after ffpt."""
    joined = re.sub(r"\\{1,2}\n\s*", "", source)
    found = re.findall(r"^ +ffpt ([a-z][^\n]*)$", joined, flags=re.MULTILINE)
    return [shlex.split(one, comments=True) for one in found]


def names(text: str) -> set[str]:
    """Dotted names of ours, such as ffpt_core.base.units, but for those that are imported: mypy sees those."""
    text = re.sub(r"^ *(from|import) ffpt_[^\n]*$", "", text, flags=re.MULTILINE)
    return set(re.findall(r"(?<![\w./-])ffpt_(?:core|openmm|plumed)(?:\.\w+)+(?![\w/])", text))


def check_name(name: str) -> None:
    """Assert that a dotted name leads to a module or to what is in one, which only then is imported."""
    parts = name.split(".")
    modules = (ROOT.joinpath(*parts[:k]) for k in range(len(parts), 0, -1))
    module = next(path for path in modules if path.is_dir() or path.with_suffix(".py").exists())
    thing: Any = None
    for part in parts[len(module.relative_to(ROOT).parts) :]:
        thing = importlib.import_module(".".join(module.relative_to(ROOT).parts)) if thing is None else thing
        assert hasattr(thing, part), f"there is no {name}"
        thing = getattr(thing, part)


def paths(text: str) -> set[str]:
    """Paths of this project: those of links, and those between backticks that begin with one of its folders."""
    text = re.sub(r"^```.*?^```$|^    [^\n]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    quoted = re.findall(r"`((?:ffpt_core|ffpt_openmm|ffpt_plumed|tests|docs|examples|benchmarks)/[^`\s]*)`", text)
    return {*links, *quoted}
