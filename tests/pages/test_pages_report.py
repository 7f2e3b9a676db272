"""The report in a browser: whole, quiet, readable on a phone and in the dark, sorted and reached by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import COLLISIONS, NAMELESS, TOO_FAINT, Seen, chromium, opened
from full_report import INPUTS, TASKS, full_details, full_report, log_lines
from playwright.sync_api import Browser, sync_playwright

from motet.evaluation import Details, render_html
from motet.evaluation.page import page

SECTIONS = ["summary", *(f"task-{name}" for name in TASKS), "inputs", "relations", "training", "model-card"]
SHOT = (
    "<img src=x onerror=\"document.title='shot'\"><script>document.title='shot';alert(1)</script>'\"&</title></style>"
)
TABLE = """<h1>Any page</h1><table class="sortable" aria-label="numbers"><thead><tr><th scope="col">name</th>
<th scope="col">number</th><th scope="col"></th></tr></thead><tbody>
<tr><th scope="row">b</th><td>1,200</td><td></td></tr>
<tr><th scope="row">a</th><td>\N{MINUS SIGN}3.5 [0, 1]</td><td></td></tr>
<tr><th scope="row">c</th><td>\N{EN DASH}</td><td></td></tr><tr><th scope="row">B</th><td>9e-5</td><td></td></tr>
<tr><th scope="row">d</th><td data-sort="40">forty</td><td></td></tr></tbody></table>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(render_html(full_report(), log_lines(), full_details(), title="reviews"))
    (folder / "table.html").write_text(page("Any page", TABLE))
    (folder / "shot.html").write_text(page("Any page", f"<h1>Any page</h1>{SHOT}"))
    return folder


def test_the_report_is_whole_and_quiet(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as seen:
        for width in (1280, 390):
            seen.page.set_viewport_size({"width": width, "height": 900})
            boxes = seen.page.locator("main > section").evaluate_all("all => all.map(e => e.getBoundingClientRect())")
            assert all(box["height"] > 100 and 0 <= box["x"] <= box["x"] + box["width"] <= width for box in boxes)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            assert seen.page.evaluate(COLLISIONS) == []
            numbers = seen.page.locator(".brought li > :last-child, span.heat")
            assert max(numbers.evaluate_all("all => all.map(e => e.clientHeight)")) < 40, "a number is broken in two"
        for theme in ("light", "dark"):
            seen.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            assert seen.page.evaluate(TOO_FAINT) == []
        assert seen.page.locator("main > section").evaluate_all("all => all.map(e => e.id)") == SECTIONS
        assert seen.page.evaluate(NAMELESS) == []
    assert seen.wrong == []
    assert seen.outside() == []


def test_a_heading_sorts_by_click_and_by_enter(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "table.html") as seen:
        names, numbers = seen.page.get_by_role("button", name="name"), seen.page.get_by_role("button", name="number")
        assert column(seen) == ["b", "a", "c", "B", "d"]
        numbers.click()
        assert (column(seen), state(seen)) == (["b", "d", "B", "a", "c"], ["none", "descending", None])
        numbers.focus()
        seen.page.keyboard.press("Enter")
        assert (column(seen), state(seen)) == (["a", "B", "d", "b", "c"], ["none", "ascending", None])
        names.click()
        assert (column(seen)[0], column(seen)[-1], state(seen)) == ("a", "d", ["ascending", "none", None])
        seen.page.keyboard.press("Space")
        assert (column(seen)[0], state(seen)) == ("d", ["descending", "none", None])
    assert seen.wrong == []


def column(seen: Seen) -> list[str]:
    found: list[str] = seen.page.locator("tbody th").evaluate_all("all => all.map(e => e.textContent)")
    return found


def state(seen: Seen) -> list[str | None]:
    found: list[str | None] = seen.page.locator("thead th").evaluate_all("all => all.map(e => e.ariaSort)")
    return found


def test_tables_of_the_report_sort_and_scroll(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html", width=390) as seen:
        table = seen.page.locator("table[aria-label='rating by city']")
        table.get_by_role("button", name="against all other rows").click()
        assert table.locator("tbody th").first.text_content() == "Frankfurt an der Oder"
        around = seen.page.locator(".scroll", has=table)
        assert around.evaluate("e => [e.scrollWidth > e.clientWidth, e.tabIndex]") == [True, 0]
    assert seen.wrong == []


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html", theme="dark") as seen:
        dark, button = paper(seen), seen.page.locator("#theme")
        assert button.text_content() == "Light theme"
        seen.page.emulate_media(color_scheme="light")
        light = paper(seen)
        assert (sum(light) > 700, sum(dark) < 100) == (True, True)
        assert button.text_content() == "Dark theme"
        button.click()
        assert (paper(seen), button.text_content()) == (dark, "Light theme")
        seen.page.reload()
        assert (paper(seen), seen.page.locator("#theme").text_content()) == (dark, "Light theme")
        seen.page.locator("#theme").press("Enter")
        assert paper(seen) == light
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert paper(seen) == [255, 255, 255]
        assert not seen.page.locator(".topbar").is_visible()
    assert seen.wrong == []


def paper(seen: Seen) -> list[int]:
    colour = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def test_the_keyboard_reaches_everything_and_is_seen_there(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "report.html") as seen:
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert seen.page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
        for _ in range(24):
            look = "(({outlineStyle, outlineWidth}) => [outlineStyle, parseFloat(outlineWidth) >= 2])"
            assert seen.page.evaluate(f"{look}(getComputedStyle(document.activeElement))") == ["solid", True]
            seen.page.keyboard.press("Tab")
        reached = seen.page.evaluate("document.activeElement.closest('main') !== null")
        assert reached, "the bar and the cards have few stops, so that the tables come soon"
        seen.page.locator(".skip").focus()
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "content"


def test_a_table_full_of_scripts_is_only_read(browser: Browser, tmp_path: Path) -> None:
    """Names of inputs and tasks, labels, texts, places, warnings: nothing of it becomes a part of the page."""
    tasks, inputs = (tuple(f"{SHOT}{'x' * 150} {name}" for name in names) for names in (TASKS, INPUTS))
    content = full_report(tasks=tasks, inputs=inputs, evil=SHOT)
    details = full_details(tasks=tasks, inputs=inputs, evil=SHOT)
    (tmp_path / "evil.html").write_text(render_html(content, log_lines(tasks, inputs), details, title=SHOT))
    with opened(browser, tmp_path / "evil.html", width=390) as seen:
        assert seen.page.title() == SHOT
        assert seen.page.locator("script").count() == 1
        assert seen.page.locator("[onerror]").count() == 0
        assert seen.page.evaluate(NAMELESS) == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.wrong == []
    assert seen.outside() == []


def test_the_policy_stops_what_the_page_did_not_bring(browser: Browser, folder: Path) -> None:
    """Were a script to slip in all the same, it would not run: the policy names the frame's by its hash."""
    with opened(browser, folder / "shot.html") as seen:
        assert seen.page.title() == "Any page"
        assert seen.page.locator("main script").count() == 1
        assert seen.page.locator("#theme").is_visible(), "the frame's own script runs"
        assert seen.page.locator("main img").evaluate("e => e.naturalWidth") == 0
    assert [said for said in seen.wrong if "script-src" in said]
    assert [said for said in seen.wrong if "img-src" in said]


def test_a_report_with_little_in_it_has_few_sections(browser: Browser, tmp_path: Path) -> None:
    task = {"kind": "binary", "primary": "auroc", "baseline": {"auroc": None}, "single_task": None, "rows": 0}
    metric = {"value": None, "low": None, "high": None, "higher_is_better": True}
    content = {
        "rows_scored": "valid",
        "tasks": {"t": task | {"metrics": {"auroc": metric}, "calibration": None, "slices": [], "coverage": None}},
        "inputs": {"a": {"present_fraction": 0.0, "contribution": {}}},
        "subsets": [],
        "subset_rows": 0,
        "training": {},
    }
    (tmp_path / "small.html").write_text(render_html(content, [], {"t": Details()}))
    with opened(browser, tmp_path / "small.html", width=390) as seen:
        ids = seen.page.locator("main > section").evaluate_all("all => all.map(e => e.id)")
        assert ids == ["summary", "task-t", "inputs", "model-card"]
        assert seen.page.evaluate(NAMELESS) == []
    assert seen.wrong == []
