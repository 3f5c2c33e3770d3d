"""``demo``: the whole path in one command, with a report. Chapter 18."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.terminal import TrainingBar, row, say, write
from minitower.cli.train import UNPUBLISHED, read_job, read_toml
from minitower.data import DataError
from minitower.data.layouts import Reading
from minitower.data.options import Option
from minitower.data.source import open_folder
from minitower.lab.demo import SIMULATED, VIEWS, run, simulated
from minitower.lab.page import write_page
from minitower.lab.plots import can_draw
from minitower.lab.terminal_report import format_report
from minitower.search.hnsw import Hnsw
from minitower.training.recipe import read_recipe


def demo(
    *,
    data: Annotated[
        Path | None, Option("real files instead of simulated data", metavar="DIR")
    ] = None,
    job: Annotated[Path | None, Option("TOML job file with options")] = None,
    report: Annotated[Path, Option("where to write the page")] = Path("report.html"),
    no_report: Annotated[bool, Option("print the table only")] = False,
    typed: Annotated[Mapping[str, Any], UNPUBLISHED],
) -> None:
    """Train a model, measure it, build an index, and recall for one user.

    For comparison, train the same model without logQ correction and with self-supervision.
    Measure all against 'most popular'. Prints a small table and the path of a page with plots.
    Without --data it makes its own data.
    """
    if not no_report:
        _check_report(report)
    Hnsw.library()  # the demo measures HNSW: report a missing library first
    places, table = ({}, {}) if job is None else read_toml(job)
    files = [(str(job), {**places, **table})]
    options = read_job(typed, *files, *([("demo", SIMULATED)] if data is None else []))
    if options["objective"] != "in-batch":
        raise DataError("demo shows what logQ does, in-batch; use train for other objectives")
    if options["self_supervised"] == "none":  # a model with views is trained all the same, last
        views = options.but(self_supervised=VIEWS)
        views.make(read_recipe, views)
    reading = options.make(Reading)
    source = simulated(reading) if data is None else open_folder(data, reading)
    say(*source.remarks)
    result = run(source, options, lambda name: TrainingBar(name, options["metric"]), say)
    write(f"{format_report(result)}\n")
    if not no_report:
        row()
        row(write_page(result, report))


def _check_report(path: Path) -> None:
    """Refuse a report that could not be written, before any training."""
    if not can_draw():
        raise DataError(
            'the plots of the report need matplotlib: pip install "minitower[cli]", '
            "or leave the report out with --no-report"
        )
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a folder or a device; name the file to write")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} is missing")
