"""One self-contained HTML page about a study: what was done, its numbers, pictures and tables, its files."""

from __future__ import annotations

from ffpt_core.base.results import Table
from ffpt_core.report.content import Figure, FlowStep, Headline, Link, Report, Section
from ffpt_core.report.page import build_report, render

__all__ = ["Figure", "FlowStep", "Headline", "Link", "Report", "Section", "Table", "build_report", "render"]
