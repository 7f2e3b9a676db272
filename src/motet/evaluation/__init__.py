"""The evaluation room: scores with intervals beside a baseline, what each input contributes, and the report of both."""

from motet.evaluation.contribution import Contributions, TaskRows, contributions
from motet.evaluation.details import Bin, Confusion, Details, LabelScore, Mistake, Scatter, Shown, details_of
from motet.evaluation.interval import Interval, difference, interval_of
from motet.evaluation.render import render_html
from motet.evaluation.report import TaskResult, build_report, plain
from motet.evaluation.score import Score, baseline, score
from motet.evaluation.shapley import plan_of

__all__ = [
    "Bin",
    "Confusion",
    "Contributions",
    "Details",
    "Interval",
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
    "difference",
    "interval_of",
    "plain",
    "plan_of",
    "render_html",
    "score",
]
