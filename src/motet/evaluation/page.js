"use strict";
// Theme: the system's until the button is used, then the reader's own, remembered where the browser allows it.
(() => {
  const KEY = "motet-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const recalled = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem(KEY, theme); } catch { /* a page opened from a file may be refused */ }
  };
  const shown = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const other = () => (shown() === "dark" ? "light" : "dark");
  if (["light", "dark"].includes(recalled())) root.dataset.theme = recalled();

  const startTheme = () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const name = () => { button.textContent = other() === "dark" ? "Dark theme" : "Light theme"; };
    button.addEventListener("click", () => {
      root.dataset.theme = other();
      remember(shown());
      name();
    });
    system.addEventListener("change", name);
    name();
    button.hidden = false;
  };

  // Tables: a heading is a button that sorts by its column; numbers as numbers, the largest first.
  const NUMBER = /^[+-]?(\d{1,3}(,\d{3})+(\.\d+)?|\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?=%?( ?[kMG]?B?)?( ?[[(\u00b1].*)?$)/i;
  const words = (row, column) => {
    const cell = row.cells[column];
    return cell ? (cell.dataset.sort ?? cell.textContent).trim().replace(/\u2212/g, "-") : "";
  };
  const absent = (text) => text === "" || text === "\u2013";
  const number = (text) => {
    const found = NUMBER.exec(text);
    return found ? parseFloat(found[0].replace(/,/g, "")) : NaN;
  };
  const keysOf = (rows, column) => {
    const texts = rows.map((row) => words(row, column));
    const known = texts.filter((text) => !absent(text));
    const numeric = known.length > 0 && known.every((text) => !Number.isNaN(number(text)));
    return { numeric, keys: texts.map((text) => (absent(text) ? null : numeric ? number(text) : text)) };
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));

  const sort = (table, headings, chosen, column) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const { numeric, keys } = keysOf(rows, column);
    const before = chosen.getAttribute("aria-sort");
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const order = before === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const place = rows.map((_, at) => at).sort((a, b) => {
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null) || a - b;
      return sign * compare(keys[a], keys[b]) || a - b;
    });
    headings.forEach((heading) => heading.setAttribute("aria-sort", heading === chosen ? order : "none"));
    body.append(...place.map((at) => rows[at]));
  };

  const startTable = (table) => {
    const head = table.tHead && table.tHead.rows[table.tHead.rows.length - 1];
    if (!head || !table.tBodies[0] || table.tBodies[0].rows.length < 2) return;
    const headings = [...head.cells].filter((cell) => cell.textContent.trim());
    headings.forEach((heading) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, headings, heading, heading.cellIndex));
    });
  };

  // What scrolls sideways can be reached and scrolled by keyboard.
  const reachable = () => document.querySelectorAll(".scroll").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });

  document.addEventListener("DOMContentLoaded", () => {
    startTheme();
    document.querySelectorAll("table.sortable").forEach(startTable);
    reachable();
    addEventListener("resize", reachable);
  });
})();
