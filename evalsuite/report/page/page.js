"use strict";
/* On every page: colours, sortable tables, and the loading of data.
   Texts of models and data become text nodes of the document, never markup. */

const evalsuite = (() => {
  // The nonce that a script must carry to be run.
  const nonce = document.currentScript.nonce;
  const OURS = /^(\.\.\/)?data\/[0-9a-f]{16}\/[A-Za-z0-9._-]+\/(index|\d{4,}|search-\d{4,})\.js$/;
  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("evalsuite", {
        createScriptURL(address) {
          if (!OURS.test(address)) throw new TypeError(`not data of this page: ${address}`);
          return address;
        },
      })
    : { createScriptURL: (address) => address };

  /* Data: each file calls take(name, json). */

  const waiting = new Map();

  function load(address, name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const end = () => {
        script.remove();
        // take() has been called before, unless the file is damaged.
        if (waiting.delete(name)) {
          reject(new Error(`${address} is missing or damaged; write the page again`));
        }
      };
      waiting.set(name, resolve);
      script.nonce = nonce;
      script.async = true;
      script.onload = end;
      script.onerror = end;
      script.src = policy.createScriptURL(address);
      document.head.append(script);
    });
  }

  function take(name, json) {
    const resolve = waiting.get(name);
    if (!resolve) return;
    waiting.delete(name);
    resolve(JSON.parse(json));
  }

  /* The document. */

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Invisible characters and those that change the reading direction: controls, direction marks,
  // lone surrogates. All others are shown as they are.
  const HIDDEN = new RegExp(
    "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b\\u200e\\u200f" +
      "\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ufff9-\\ufffb]" +
      "|[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]",
    "g",
  );

  function visible(text) {
    return text.replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  }

  /* Colours. */

  const THEME = "evalsuite-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    // Some browsers have no storage for pages from disk.
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null;
    }
  }

  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : dark.matches;
  }

  function setTheme(theme) {
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  }

  function toggleTheme() {
    const theme = isDark() ? "light" : "dark";
    setTheme(theme);
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // The choice is not kept.
    }
  }

  /* Tables. */

  function sortable(table) {
    const headings = columnHeadings(table);
    for (const [column, heading] of headings) {
      const button = el("button", { type: "button", class: "sort" });
      const link = heading.querySelector("a");
      if (link) {
        button.setAttribute("aria-label", `Sort by ${link.textContent}`);
        heading.append(" ", button);
      } else {
        const marks = [...heading.childNodes];
        button.append(...marks);
        heading.append(button);
      }
      button.append(el("span", { class: "arrow", "aria-hidden": "true" }));
      heading.addEventListener("click", (event) => {
        if (!event.target.closest("a")) sort(table, column, heading, headings);
      });
    }
  }

  // The heading of each column; headings can span rows and columns.
  function columnHeadings(table) {
    const taken = [];
    const found = new Map();
    [...table.tHead.rows].forEach((row, at) => {
      taken[at] ??= [];
      let column = 0;
      for (const cell of row.cells) {
        while (taken[at][column]) column += 1;
        for (let down = 0; down < cell.rowSpan; down += 1) {
          taken[at + down] ??= [];
          for (let right = 0; right < cell.colSpan; right += 1) {
            taken[at + down][column + right] = true;
          }
        }
        if (cell.scope === "col") found.set(column, cell);
        column += cell.colSpan;
      }
    });
    return found;
  }

  function sort(table, column, heading, headings) {
    const before = heading.getAttribute("aria-sort");
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const numeric = rows.some((row) => row.cells[column]?.dataset.sort !== undefined);
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const now = before === first ? other : first;
    for (const each of headings.values()) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", now);
    const sign = now === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const keyed = [...body.rows]
        .filter((row) => row.cells.length > column)
        .map((row, at) => ({ row, at, key: key(row.cells[column], numeric) }));
      keyed.sort((a, b) => compare(a.key, b.key, sign) || a.at - b.at);
      body.append(...keyed.map(({ row }) => row));
    }
  }

  function key(cell, numeric) {
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
  }

  // Cells without a number are last in both directions.
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return sign * order;
  }

  setTheme(remembered());
  dark.addEventListener("change", () => setTheme(null));
  document.addEventListener("DOMContentLoaded", () => {
    setTheme(null);
    document.getElementById("theme")?.addEventListener("click", toggleTheme);
    for (const table of document.querySelectorAll(".grid table")) {
      if (table.tHead) sortable(table);
    }
  });

  return Object.freeze({ load, take, el, visible });
})();
