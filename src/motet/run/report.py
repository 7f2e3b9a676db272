"""A report as Python and as text: `report["rating"]["mae"].value`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from motet.core.checks import did_you_mean
from motet.core.errors import BundleError


class _Lax(BaseModel):
    """Of values read from a file: those named are there and of their types; there may be others."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Score(_Lax):
    value: float | None
    low: float | None
    high: float | None
    higher_is_better: bool


class _Task(_Lax):
    kind: str
    primary: str
    metrics: dict[str, _Score]
    baseline: dict[str, float | None]
    rows: int

    @model_validator(mode="after")
    def _primary_is_there(self) -> Self:
        if self.primary not in self.metrics:
            raise ValueError(f"no metric {self.primary!r}, which is to be the primary one")
        return self


class _Training(_Lax):
    parameters: int | None = None
    seconds: float | None = None
    gain: float | None = None


class _Content(_Lax):
    """What of a report is relied on wherever one is read."""

    rows_scored: str
    tasks: dict[str, _Task] = Field(min_length=1)
    inputs: dict[str, dict[str, Any]] = {}
    training: _Training = _Training()


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: its value on the scored rows, its interval (of `Report.level`), and the trivial baseline's.

    `low` and `high` are None where nothing tells them, such as of a single row.
    """

    value: float | None
    low: float | None
    high: float | None
    baseline: float | None
    higher_is_better: bool


@dataclass(frozen=True)
class Report:
    """What `report.json` holds (`content`); `report[task][metric]` is a `Figure`. `rows` says what was scored."""

    content: dict[str, Any]
    rows: str = ""

    @classmethod
    def of_run(cls, folder: Path) -> "Report":
        """The report a finished run wrote; raises `BundleError` where there is none, or it is damaged."""
        path = folder / "report.json"
        try:
            content = json.loads(path.read_bytes())
            _Content.model_validate(content)
            return cls(content)
        except OSError:
            if (folder / "experiment.yaml").is_file():
                raise BundleError(f"{path}: the run is not finished; go on with --resume") from None
            raise BundleError(f"{folder}: there is no run; expected the folder of a finished one") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise BundleError(f"{path}: damaged ({where}: {first['msg']}); restore it from a copy") from None
        except (ValueError, RecursionError):
            raise BundleError(f"{path}: damaged; restore it from a copy") from None

    @property
    def level(self) -> float | None:
        """How often an interval is to hold its figure; None in a report that does not say."""
        level: float | None = (self.content.get("intervals") or {}).get("level")
        return level

    def __getitem__(self, task: str) -> dict[str, Figure]:
        tasks = self.content["tasks"]
        if task not in tasks:
            raise KeyError(f"{task!r} is not in the report{did_you_mean(task, tasks)}")
        entry = tasks[task]
        return {
            name: Figure(one["value"], one["low"], one["high"], entry["baseline"].get(name), one["higher_is_better"])
            for name, one in entry["metrics"].items()
        }

    def to_json(self) -> str:
        """The content as JSON text."""
        return json.dumps(self.content, indent=1, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """A small table: each task's primary metric with its interval, beside the baselines there are."""
        entries = self.content["tasks"].values()
        others = list(dict.fromkeys(name for entry in entries for name in entry.get("baselines") or {}))
        header = ("task", "metric", "value", self._interval(), "constant", *others, "rows")
        lines = [header, *(self._line(task, others) for task in self.content["tasks"])]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([f"scored on {self.rows or 'the ' + self.content['rows_scored'] + ' rows'}", *table])

    def _interval(self) -> str:
        return "interval" if self.level is None else f"{100 * self.level:g} % interval"

    def _line(self, task: str, others: Sequence[str]) -> tuple[str, ...]:
        entry = self.content["tasks"][task]
        primary = entry["primary"]
        figure = self[task][primary]
        interval = f"{_number(figure.low)} to {_number(figure.high)}"
        fitted = entry.get("baselines") or {}
        beside = [_number(fitted[name]["metrics"][primary]["value"] if name in fitted else None) for name in others]
        return task, primary, _number(figure.value), interval, _number(figure.baseline), *beside, f"{entry['rows']:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
