"""The evaluation room: scores with intervals beside a baseline, what each input contributes, and the report of both."""

from motet.evaluation.contribution import Contribution, Contributions, TaskRows, contributions, subsets_of
from motet.evaluation.details import Bin, Confusion, Details, LabelScore, Mistake, Scatter, Shown, details_of
from motet.evaluation.render import render_html
from motet.evaluation.report import TaskResult, build_report, plain
from motet.evaluation.score import Score, baseline, score

__all__ = [
    "Bin",
    "Confusion",
    "Contribution",
    "Contributions",
    "Details",
    "LabelScore",
    "Mistake",
    "Scatter",
    "Score",
    "Shown",
    "TaskResult",
    "TaskRows",
    "baseline",
    "build_report",
    "contributions",
    "details_of",
    "plain",
    "render_html",
    "score",
    "subsets_of",
]
