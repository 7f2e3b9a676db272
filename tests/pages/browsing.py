"""A page opened in Chromium, with all that went wrong there, and what is asked of it in the page's own words."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HINT = "no Chromium was found; install one (on Debian: apt-get install chromium), or name it in MOTET_CHROMIUM"


def chromium() -> str:
    """Where Chromium is; without one tests are skipped, and fail where everything has to be tried."""
    found = os.environ.get("MOTET_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail(HINT)
    if found is None:
        pytest.skip(HINT)
    return found


@dataclass
class Seen:
    """What a page asked for, and what it complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def outside(self) -> list[str]:
        """Requests beyond the file itself and what is in it."""
        return [url for url in self.asked[1:] if not url.startswith("data:")]


@contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1280, theme: str = "light") -> Iterator[Seen]:
    """The file in a window of this width, on a system of this theme."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    seen = Seen(context.new_page())
    seen.page.on("request", lambda request: seen.asked.append(request.url))
    seen.page.on("console", lambda said: seen.wrong.append(said.text) if said.type in ("error", "warning") else None)
    seen.page.on("pageerror", lambda error: seen.wrong.append(str(error)))
    seen.page.on("dialog", lambda dialog: (seen.wrong.append(dialog.message), dialog.dismiss()))
    context.route("**/*", lambda route: route.continue_() if route.request.url == file.as_uri() else route.abort())
    try:
        seen.page.goto(file.as_uri())
        yield seen
    finally:
        context.close()


TOO_FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const rgba = (text) => {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = (top, below, share = 1) => {
    const a = top[3] * share;
    return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)).concat(1);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest('title') || !element.checkVisibility()) continue;
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    let paper = [255, 255, 255, 1];
    let share = 1;
    for (const e of chain) {
      const style = getComputedStyle(e);
      paper = over(rgba(style.backgroundColor), paper);
      share *= parseFloat(style.opacity);
    }
    const style = getComputedStyle(element);
    const ink = over(rgba(element.closest('svg') ? style.fill : style.color), paper, share);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700) ? 3 : 4.5;
    const found = ratio(ink, paper);
    if (found < least) faint.push(`${element.textContent.slice(0, 40)} (${element.className}): ${found.toFixed(2)}`);
  }
  return [...new Set(faint)];
}"""

NAMELESS = """() => {
  const name = (e) => (e.getAttribute('aria-label') || e.textContent || '').trim();
  const all = (what) => [...document.querySelectorAll(what)];
  const bad = (what, test) => all(what).filter((e) => !test(e)).map((e) => e.outerHTML.slice(0, 120));
  const ids = all('[id]').map((e) => e.id);
  const levels = all('h1, h2, h3, h4').map((e) => Number(e.tagName[1]));
  return [
    ...bad('img', (e) => e.alt.trim()),
    ...bad('button, a', name),
    ...bad('audio, nav, table, svg, section, [role=region]', (e) => name(e) || e.hasAttribute('aria-labelledby')),
    ...bad('th', (e) => e.scope),
    ...bad('a[href^="#"]', (e) => document.getElementById(decodeURIComponent(e.getAttribute('href').slice(1)))),
    ...bad('[aria-labelledby]', (e) => document.getElementById(e.getAttribute('aria-labelledby'))),
    ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`),
    ...levels.filter((level, at) => level > (levels[at - 1] || 0) + 1).map((level) => `a jump to heading ${level}`),
    ...(levels.filter((level) => level === 1).length === 1 ? [] : ['not one h1']),
    ...(document.documentElement.lang ? [] : ['no language']),
  ];
}"""

COLLISIONS = """() => [...document.querySelectorAll('svg')].flatMap((svg) => {
  const texts = [...svg.querySelectorAll('text')].map((e) => [e.textContent, e.getBoundingClientRect()]);
  const frame = svg.parentElement.closest('.card, section').getBoundingClientRect();
  const found = [];
  texts.forEach(([words, a], i) => {
    if (a.left < frame.left || a.right > frame.right) found.push(`${words} sticks out`);
    texts.slice(i + 1).forEach(([other, b]) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && tall > 3) found.push(`${svg.getAttribute('aria-label')}: ${words} on ${other}`);
    });
  });
  return found;
})"""
