"""Makes the HTML page of a report: one file, pictures inside, no script, light and dark."""

from __future__ import annotations

import base64
import datetime
import importlib.metadata
import importlib.resources
import os
import platform
import re
import struct
from pathlib import Path
from urllib.parse import quote

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.base.results import Cell, Table
from ffpt_core.report.collect import collect
from ffpt_core.report.content import Figure, Link, Report

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_PACKAGES = ("torch", "openmm", "openmmtorch", "ase", "mdtraj", "tblite", "numpy", "scipy")
_SCREEN = 118.0
"""Pixels an inch of a picture takes on the page: its 9-point letters are then as large as those of a table."""
_NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?(\s*±\s*[\d.,]+)?(\s*%)?")


def build_report(folder: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Write the page about a folder of results.

    Args:
        folder: results, with a report.json that says what to show (see content.Report); without one the
            known results in the folder are shown as they are found (see collect.collect).
        output: path of the page; None: report.html in the folder.

    Returns:
        The path of the page.

    Raises:
        FfptError: there is no folder or nothing to show, report.json is wrong, or a picture is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FfptError(f"there is no folder {folder}")
    described = folder / "report.json"
    report = Report.read(described) if described.is_file() else collect(folder)
    output = folder / "report.html" if output is None else Path(output)
    page = render(report, folder, output.parent)
    with atomic_write(output) as stream:
        stream.write(page)
    return output


def render(report: Report, folder: Path, beside: Path | None = None) -> str:
    """The page as text.

    Args:
        report: what it says.
        folder: to which the report's paths are relative.
        beside: the folder where the page will lie, for its links; None: the same.

    Raises:
        FfptError: a picture or data file is missing, or is of an unknown kind.
    """
    import jinja2

    beside = folder if beside is None else beside
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.undefined = jinja2.StrictUndefined
    environment.filters |= {"prose": _prose, "inline": _inline, "cell": _cell}
    template = environment.from_string(
        importlib.resources.files("ffpt_core.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    figures, tables = 0, 0
    sections = []
    for section in report.sections:
        shown = {
            "title": section.title,
            "anchor": re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-"),
            "text": section.text,
            "figures": [_figure(figure, folder, number) for number, figure in enumerate(section.figures, figures + 1)],
            "tables": [_table(table, number) for number, table in enumerate(section.tables, tables + 1)],
            "files": [_link(link, folder, beside) for link in section.files],
        }
        figures, tables = figures + len(section.figures), tables + len(section.tables)
        sections.append(shown)
    return template.render(
        report=report,
        sections=sections,
        versions=report.versions if report.versions is not None else versions(),
        made=datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
    )


def versions() -> dict[str, str]:
    """Versions of ffpt and of what its results rest on, and the machine."""
    from ffpt_core.base.version import __version__

    found = {"ffpt": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"}


def _figure(figure: Figure, folder: Path, number: int) -> dict[str, object]:
    path = folder / figure.path
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise FfptError(f"{figure.path}: pictures of a report end in {', '.join(_TYPES)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FfptError(f"the picture {path} of the report cannot be read: {error.strerror or error}") from error
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    width = _width(data)
    shown = {"source": source, "number": number, "caption": figure.caption}
    return shown | {"width": round(width), "wide": width > 700.0}


def _width(data: bytes) -> float:
    """Width at which a PNG is shown, in CSS pixels: by its own resolution, so that all letters are of one size.

    Zero for other pictures, which browsers lay out.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return 0.0
    (pixels,) = struct.unpack(">I", data[16:20])
    found = data.find(b"pHYs", 24, 4096)
    dots = struct.unpack(">I", data[found + 4 : found + 8])[0] * 0.0254 if found > 0 else _SCREEN
    return pixels / dots * _SCREEN


def _table(table: Table, number: int) -> dict[str, object]:
    columns = list(zip(*table.rows, strict=True)) if table.rows else [()] * len(table.columns)
    numeric = [bool(column) and all(_is_number(cell) for cell in column) for column in columns]
    # A word joiner keeps units such as meV/Å in one piece where a heading is broken into lines.
    names = [name.replace("/", "/\N{WORD JOINER}") for name in table.columns]
    return {"table": table, "number": number, "numeric": numeric, "columns": names}


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, str) or cell in ("", "-", "–") or _NUMBER.fullmatch(cell.strip()) is not None


def _link(link: Link, folder: Path, beside: Path) -> dict[str, str]:
    path = folder / link.path
    if not path.exists():
        raise FfptError(f"the file {path} that the report links to is missing")
    return {"href": quote(os.path.relpath(path, beside)), "path": link.path, "text": link.text}


def _cell(value: Cell) -> str:
    """A cell as text: four significant digits, thousands apart, a dash for nothing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    digits = f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else digits.replace("-", "−")


def _inline(text: str) -> object:
    """Escaped text with **bold**, `code` and https:// links."""
    from markupsafe import Markup, escape

    marked = str(escape(text))
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", marked)
    marked = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked)
    marked = re.sub(r"(https://[^\s<>)]+[^\s<>).,;])", r'<a href="\1">\1</a>', marked)
    return Markup(marked)


def _prose(text: str) -> object:
    """Paragraphs, divided by empty lines."""
    from markupsafe import Markup

    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return Markup("\n").join(Markup("<p>{}</p>").format(_inline(part)) for part in parts)
