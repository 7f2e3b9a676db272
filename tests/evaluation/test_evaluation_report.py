"""The report's shape, and the page: self-contained, well formed, and safe against what a table may hold."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from motet.evaluation import (
    Details,
    Shown,
    TaskResult,
    TaskRows,
    baseline,
    build_report,
    contributions,
    details_of,
    render_html,
    score,
)
from motet.evaluation.charts import contribution_bars, curve, interval_mark
from motet.evaluation.figure import figure, percent
from motet.evaluation.svg import short, ticks
from motet.evaluation.words import sentence, verdict
from motet.run.report import Report
from motet.tasks import Binary, Codec, Multiclass, Multilabel, Regression, TaskSpec

EVIL = "<script>alert('x')</script>&\"' http://evil.example/x.png"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
INPUTS = ("photo", EVIL)
N = 40


def tasks() -> dict[str, tuple[TaskSpec, Codec, torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(N, *shape, generator=generator)

    multilabel = Multilabel().fit([[EVIL, "b", "c"]])
    return {
        "yes or no": (Binary(metric="f1"), Binary().fit(["a", EVIL]), noise(), (noise() > 0).float()),
        EVIL: (Multiclass(), Multiclass().fit([EVIL, "b", "c"]), noise(3), torch.arange(N) % 3),
        "tags": (Multilabel(), multilabel, noise(3), (noise(3) > 0).float()),
        "rating": (Regression(metric="mae"), Regression().fit([0.0, 10.0]), noise(), noise()),
    }


@pytest.fixture(scope="module")
def page() -> tuple[dict[str, Any], str]:
    made = tasks()
    results = {
        name: TaskResult(spec.kind, spec.primary, score(c, o, t, seed=0, resamples=20), baseline(c, c.prior(t), t), N)
        for name, (spec, c, o, t) in made.items()
    }
    rows = {n: TaskRows(c, s.primary, t, torch.ones(N, dtype=torch.bool)) for n, (s, c, _, t) in made.items()}
    given = contributions(
        lambda subset: {name: o * len(subset) / 2 for name, (_, _, o, _) in made.items()},
        inputs=INPUTS,
        tasks=rows,
        seed=0,
        resamples=20,
    )
    report = build_report(
        rows_scored="valid",
        tasks=results,
        present_fraction={"photo": 0.5, EVIL: 1.0},
        contributions=given,
        training={
            "epochs": 3,
            "device": EVIL,
            "best": math.nan,
            "early": True,
            "rows": {"train": 10},
            "list": [1, 2.5],
        },
        intervals={"level": 0.9, "resamples": 20},
    )
    cells = [Shown("photo", "picture", PIXEL), Shown(EVIL, "text", EVIL * 20), Shown("p", "picture", EVIL)]
    cells += [Shown("q", "picture", "data:image/svg+xml;base64,AAAA"), Shown("r", "picture", PIXEL + "' onerror='x")]
    details = {
        name: details_of(c, o, t, range(N), show=lambda row: cells, place=lambda row: f"{EVIL}:{row}")
        for name, (_, c, o, t) in made.items()
    }
    log: list[dict[str, Any]] = [{"step": s, "epoch": 1, "losses": dict.fromkeys(made, 1 / s)} for s in range(1, 1000)]
    log += [{"resumed_at": 5}, {"step": 999, "epoch": 1, "losses": {EVIL: None}}]
    log += [
        {"step": 500 * e, "epoch": e, "train": dict.fromkeys(made, 0.5), "gain": 0.1 * e}
        | {"valid": {name: {spec.primary: 0.5 + e / 10} for name, (spec, *_) in made.items()}}
        for e in (1, 2)
    ]
    return report, render_html(report, log, details, title=EVIL)


def test_the_report_has_the_promised_shape(page: tuple[dict[str, Any], str]) -> None:
    report, _ = page
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report) == {"rows_scored", "tasks", "inputs", "subsets", "subset_rows", "training", "intervals"}
    assert report["subset_rows"] == N
    task = report["tasks"]["rating"]
    assert set(task) == {"kind", "primary", "metrics", "baseline", "single_task", "rows"}
    assert list(task["metrics"]) == ["mae", "r2", "rmse", "spearman"]  # the primary first
    assert set(task["metrics"]["mae"]) == {"value", "low", "high", "higher_is_better"}
    assert task["baseline"]["spearman"] is None
    assert task["single_task"] is None
    assert task["rows"] == N
    one = report["inputs"]["photo"]
    assert one["present_fraction"] == 0.5
    assert one["method"] == "shapley"
    assert set(one["contribution"]["rating"]) == {"value", "low", "high"}
    assert [subset["inputs"] for subset in report["subsets"]] == [[], [EVIL], ["photo"], [EVIL, "photo"]]
    assert set(report["subsets"][0]["metrics"]) == set(report["tasks"])
    assert report["training"]["best"] is None


def test_the_level_of_intervals_is_said(page: tuple[dict[str, Any], str]) -> None:
    report, html = page
    assert report["intervals"] == {"level": 0.9, "resamples": 20}
    assert "Brackets hold the 90% interval of a bootstrap" in html
    assert Report(report).level == 0.9
    assert "90 % interval" in Report(report).to_text().splitlines()[1]
    old = {name: one for name, one in report.items() if name != "intervals"}  # written before the level was said
    assert "Brackets hold the interval of" in render_html(old, [], {})
    assert Report(old).level is None
    assert "95" not in Report(old).to_text().splitlines()[1]


def test_a_report_without_contributions() -> None:
    report = build_report(rows_scored="test", tasks={}, present_fraction={"a": 1.0}, contributions=None, training={})
    assert report["inputs"] == {"a": {"present_fraction": 1.0, "contribution": {}}}
    assert report["subsets"] == []
    assert "What each input contributes" in render_html(report, [], {})


class Page(HTMLParser):
    """Collects tags, and checks that they close in order."""

    EMPTY = frozenset({"meta", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}: {attrs}"
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(text: str) -> Page:
    parser = Page()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_asks_for_nothing(page: tuple[dict[str, Any], str]) -> None:
    seen = parsed(page[1]).seen
    assert not {tag for tag, _ in seen} & {"link", "iframe", "object", "embed", "form"}
    assert [attributes for tag, attributes in seen if tag == "script"] == [{}], "the frame's script, and no other"
    for tag, attributes in seen:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "srcset", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
    policy = next(a["content"] for tag, a in seen if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    (script,) = re.findall(r"<script>(.*?)</script>", page[1], re.DOTALL)
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}';" in policy
    assert not re.findall("https?:|fetch|eval|innerHTML|import", script)
    assert "url(" not in page[1]
    assert "@import" not in page[1]


def test_pictures_of_unknown_types_are_not_shown(page: tuple[dict[str, Any], str]) -> None:
    sources = {attributes["src"] for tag, attributes in parsed(page[1]).seen if tag == "img"}
    assert sources == {PIXEL}


def test_every_drawing_is_well_formed_finite_and_has_a_name(page: tuple[dict[str, Any], str]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page[1], re.DOTALL)
    assert len(drawings) > 20
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        assert root[0].tag == "title"
        for element in root.iter():
            for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "points"):
                numbers = re.split(r"[ ,]", element.get(name, "0"))
                assert all(math.isfinite(float(number)) for number in numbers), (element.tag, element.attrib)


def test_links_lead_to_sections(page: tuple[dict[str, Any], str]) -> None:
    seen = parsed(page[1]).seen
    places = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(places) == len(set(places))
    links = [str(attributes["href"]) for tag, attributes in seen if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(places)
    sections = [f"#{attributes['id']}" for tag, attributes in seen if tag == "section"]
    assert len(sections) == 4 + 4  # summary, a section for each task, inputs, training, model card
    assert links[1 : 1 + len(sections)] == sections, "the navigation, after the link to the content"
    assert links[1 + len(sections) :] == sections[1:5], "the cards of the tasks"


def test_the_page_says_the_verdict_and_the_facts(page: tuple[dict[str, Any], str]) -> None:
    report, text = page
    words = " ".join(parsed(text).words)
    for name, task in report["tasks"].items():
        assert sentence(name, task) in words
    assert "there is no test set" in words
    assert "Shapley value" in words
    assert EVIL in words


def judged(value: float, low: float, high: float, base: float | None, *, higher: bool = True) -> str:
    metric = {"value": value, "low": low, "high": high, "higher_is_better": higher}
    return verdict({"primary": "m", "metrics": {"m": metric}, "baseline": {"m": base}})


def test_verdicts() -> None:
    assert judged(0.7, 0.6, 0.8, 0.5) == "good"
    assert judged(0.7, 0.6, 0.8, 0.65) == "even"
    assert judged(0.7, 0.6, 0.8, 0.9) == "bad"
    assert judged(0.7, 0.6, 0.8, 0.9, higher=False) == "good"
    assert judged(0.7, 0.6, 0.8, 0.5, higher=False) == "bad"
    assert judged(0.7, 0.6, 0.8, None) == "none"


def test_the_sentence() -> None:
    metric = {"value": 0.61, "low": 0.58, "high": 0.65, "higher_is_better": False}
    task = {"primary": "mae", "metrics": {"mae": metric}, "baseline": {"mae": 1.02}}
    assert sentence("rating", task) == "rating: MAE 0.610 [0.580, 0.650], a constant answer 1.020"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.500"),
        (-0.0001, "0.000"),
        (-1.5, "\N{MINUS SIGN}1.500"),
        (99.999, "100.00"),
        (123456.7, "123,457"),
        (0, "0.000"),
    ],
)
def test_figures(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    assert [percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == ["0%", "1%", "50%", "99%", "100%"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.7, 12.2), (1e-7, 2e-7), (1e6, 1.01e6), (5, 5), (0.98, 1.0004)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high) for value in found)
    assert len({short(value) for value in found}) == len(found)


def test_charts_of_nothing_are_nothing() -> None:
    assert curve([], title="t") == ""
    assert curve([(1, math.nan)], title="t") == ""
    assert contribution_bars({"a": {"value": None, "low": None, "high": None}}, title="t") == ""
    assert interval_mark({"value": None, "low": None, "high": None, "higher_is_better": True}, 0.5, title="t") == ""
    ElementTree.fromstring(curve([(1, 0.5)], title="t"))
    ElementTree.fromstring(curve([(1, 0.5), (2, 0.5)], title="t", baseline=0.5))


def test_a_task_without_details_or_scores_still_has_its_section() -> None:
    codec = Binary().fit(["no", "yes"])
    empty = torch.zeros(0)
    result = TaskResult(
        "binary", "auroc", score(codec, empty, empty, seed=0), baseline(codec, torch.zeros(()), empty), 0
    )
    report = build_report(
        rows_scored="test", tasks={"t": result}, present_fraction={"a": 0.0}, contributions=None, training={}
    )
    assert report["tasks"]["t"]["metrics"]["auroc"]["value"] is None
    parsed(render_html(report, [], {"t": Details()}))
