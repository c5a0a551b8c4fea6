"use strict";
/* The browser of samples: what is shown, what the user does, and the address that says both. */

(() => {
  const { el, visible } = evalsuite;
  const ROW_REM = 3.5; // as in page.css
  const IDLE_MS = 60;
  const TYPING_MS = 60;
  const ADDRESS_MS = 150; // browsers refuse an address that changes all the time
  const ANY = "any";

  const byId = (id) => document.getElementById(id);
  const page = byId("browser");
  const detail = byId("detail");
  const number = (count) => count.toLocaleString("en");
  const say = (text) => {
    byId("status").textContent = text;
  };

  let samples = null;
  let filter = null;
  let drawing = null;
  let list = null;
  let matches = []; // rows that fit, in order
  let opened = -1; // the row whose detail is open

  /* The list. */

  let idle = 0;

  /* Load what is in view; while the list is scrolled, once that pauses. */
  function seen(rows, scrolling) {
    clearTimeout(idle);
    const missing = rows.filter((row) => !samples.texts(row));
    if (!missing.length) {
      drawn();
      return;
    }
    const loadThem = () =>
      Promise.all(missing.map((row) => samples.need(row))).then(
        () => {
          list.refresh();
          drawn();
        },
        (error) => say(error.message),
      );
    if (scrolling) idle = setTimeout(loadThem, IDLE_MS);
    else loadThem();
  }

  let first = true;

  /* Rows stand there with their texts: a mark for whoever measures. */
  function drawn() {
    if (first) requestAnimationFrame(() => performance.mark("evalsuite:first-view"));
    first = false;
  }

  /* Search and filter as chosen, and stay at the row `kept`. A later call overtakes this one. */
  async function apply(kept = list.at >= 0 ? matches[list.at] : -1) {
    if (filter.search.trim() && !samples.searched) say("Loading the search index …");
    try {
      if (!(await filter.find())) return;
    } catch (error) {
      say(error.message);
      return;
    }
    const { rows, count } = filter.pick();
    matches = rows;
    for (const [kind, { bits }] of filter.kinds) {
      const chip = byId(`show-${kind}`);
      chip.querySelector(".count").textContent = number(count(bits));
      chip.setAttribute("aria-pressed", String(kind === filter.show));
    }
    byId("in-box").hidden = !(filter.kind.runs === 1 && samples.runs > 1);
    for (const id of ["from-box", "to-box"]) byId(id).hidden = filter.kind.runs !== 2;
    list.show(matches, matches.indexOf(kept));
    if (opened >= 0) drawDetail(opened); // its place among the others is another
    say(told());
    write();
  }

  function told() {
    const { cut, limits } = samples.index;
    const all = matches.length === samples.size;
    const parts = [`${all ? "" : `${number(matches.length)} of `}${number(samples.size)} ${
      samples.size === 1 ? "sample" : "samples"}`];
    if (!matches.length) parts.push("none fits");
    if (filter.search && cut) {
      parts.push(
        `searched: id, question (first ${number(limits[0])} characters), target and predictions ` +
          `(first ${number(limits[1])}); ${number(cut)} samples have longer texts`,
      );
    } else if (filter.search) parts.push("searched: id, question, target, predictions and errors");
    else if (filter.about) parts.push(visible(filter.about));
    return parts.join(" · ");
  }

  /* The detail. */

  function drawDetail(row) {
    const held = detail.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label")
      : null;
    const head = detailHead(row);
    detail.replaceChildren(head, ...drawing.whole(row));
    detail.scrollTop = 0;
    if (held === null) return;
    // The button that was pressed is a new one; at the end of the list it cannot be.
    const again = [...head.children].find((each) => each.getAttribute("aria-label") === held);
    (again && !again.disabled ? again : detail).focus();
  }

  function detailHead(row) {
    const position = list.at;
    const button = (text, label, act) => {
      const made = el("button", { type: "button", "aria-label": label }, text);
      made.addEventListener("click", act);
      return made;
    };
    const step = (text, by, label) => {
      const made = button(text, label, () => move(position + by));
      made.disabled = !(position + by in matches);
      return made;
    };
    const place = position < 0 ? "" : `${number(position + 1)} of ${number(matches.length)}`;
    return el("div", { class: "detail-head" },
      el("h2", {}, "Sample ", el("bdi", {}, visible(samples.index.ids[row]))),
      el("span", { class: "faint" }, place),
      step("‹", -1, "Previous sample"),
      step("›", 1, "Next sample"),
      button("✕", "Close", close));
  }

  async function open(row) {
    opened = row;
    page.classList.add("open");
    detail.hidden = false;
    drawDetail(row);
    write();
    if (samples.texts(row)) return;
    try {
      await samples.need(row);
    } catch (error) {
      say(error.message);
    }
    if (opened === row && samples.texts(row)) drawDetail(row);
  }

  function hide() {
    opened = -1;
    page.classList.remove("open");
    detail.hidden = true;
  }

  function close() {
    if (opened < 0) return;
    hide();
    byId("list").focus({ preventScroll: true });
    if (list.at >= 0) list.reveal(list.at);
    list.later();
    write();
  }

  function move(position) {
    if (!matches.length) return;
    const to = Math.min(Math.max(position, 0), matches.length - 1);
    list.move(to);
    if (opened >= 0) open(matches[to]);
    else write();
  }

  function enter() {
    if (!matches.length) return;
    if (list.at < 0) list.move(0);
    if (opened < 0) open(matches[list.at]);
    else detail.focus();
  }

  /* The address. */

  let written = null;
  let writing = 0;

  function write() {
    clearTimeout(writing);
    writing = setTimeout(writeNow, ADDRESS_MS);
  }

  function writeNow() {
    const words = new URLSearchParams();
    filter.write(words);
    if (opened >= 0) {
      const { ids } = samples.index;
      words.set("sample", ids[opened]);
      // What was asked otherwise has the same id.
      const nth = ids.slice(0, opened).filter((id) => id === ids[opened]).length;
      if (nth) words.set("nth", String(nth));
    }
    const hash = `#${words}`;
    if (hash === written) return;
    written = hash;
    try {
      history.replaceState(null, "", hash);
    } catch {
      location.replace(hash); // where pages from disk have no history
    }
  }

  /* Show what the address says. */
  async function follow() {
    clearTimeout(writing);
    if (location.hash === written) return;
    written = location.hash || "#";
    const words = new URLSearchParams(location.hash.slice(1));
    filter.read(words);
    byId("in").value = filter.in < 0 ? ANY : String(filter.in);
    byId("from").value = String(filter.from);
    byId("to").value = String(filter.to);
    byId("category").value = filter.category;
    byId("search").value = filter.search;
    let nth = Number(words.get("nth")) || 0;
    const row = samples.index.ids.findIndex((id) => id === words.get("sample") && nth-- === 0);
    opened = row;
    await apply(row);
    if (row >= 0) await open(row);
    else hide();
  }

  /* What the user does. */

  function build() {
    for (const [kind, { label }] of filter.kinds) {
      const chip = el("button", { type: "button", id: `show-${kind}`, class: "chip" },
        `${label} `, el("span", { class: "count" }));
      chip.addEventListener("click", () => {
        filter.show = kind;
        apply();
      });
      byId("show").append(chip);
    }
    const options = samples.labels.map((label, run) => el("option", { value: run }, visible(label)));
    byId("in").append(el("option", { value: ANY }, "any checkpoint"));
    for (const id of ["in", "from", "to"]) {
      byId(id).append(...options.map((option) => option.cloneNode(true)));
      byId(id).addEventListener("change", ({ target }) => {
        filter[id] = target.value === ANY ? -1 : Number(target.value);
        apply();
      });
    }
    buildCategories();
    let typing = 0;
    byId("search").addEventListener("input", ({ target }) => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        filter.search = target.value;
        apply();
      }, TYPING_MS);
    });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("keys-button").addEventListener("click", () => byId("keys").showModal());
    byId("keys-close").addEventListener("click", () => byId("keys").close());
    buildHead();
    window.addEventListener("hashchange", follow);
    document.addEventListener("keydown", key);
  }

  function buildCategories() {
    const { facets } = samples.index;
    const select = byId("category");
    byId("category-box").hidden = !facets.length;
    select.append(el("option", { value: "" }, "all"));
    for (const { name, values, codes } of facets) {
      const sizes = new Array(values.length).fill(0);
      for (const code of codes) sizes[code] += 1;
      select.append(el("optgroup", { label: visible(name) }, ...values.map((text, code) =>
        el("option", { value: Filter.named(name, text) },
          `${visible(text)} (${number(sizes[code])})`))));
    }
    select.addEventListener("change", () => {
      filter.category = select.value;
      apply();
    });
  }

  function buildHead() {
    const kinds = ["id", "thumb", "question", "target"];
    const head = ["id", "", "question", "target", ...drawing.columns];
    byId("list-head").append(...head.map((text, at) =>
      el("span", { class: kinds[at] || "answer", title: visible(text) }, visible(text))));
    const longest = samples.index.ids.reduce((most, id) => Math.max(most, id.length), 0);
    page.style.setProperty("--id", `${0.6 * Math.min(Math.max(longest, 3), 14)}rem`);
    page.style.setProperty("--runs", drawing.columns.length);
    page.classList.toggle("some", drawing.columns.length === Drawing.WITH_TEXTS);
    page.classList.toggle("many", drawing.columns.length > Drawing.WITH_TEXTS);
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (field) byId("list").focus({ preventScroll: true });
      else close();
      return;
    }
    if (field) {
      // From the search straight to what it found.
      if (field.id === "search" && (event.key === "Enter" || event.key === "ArrowDown")) {
        event.preventDefault();
        byId("list").focus({ preventScroll: true });
        if (list.at < 0) move(0);
      }
      return;
    }
    const act = action(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  function action({ key: pressed, target }) {
    const at = list.at;
    const reading = detail.contains(target); // there arrows up and down scroll
    const back = () => move(at < 0 ? 0 : at - 1);
    switch (pressed) {
      case "j": return () => move(at + 1);
      case "k": return back;
      case "ArrowRight": return opened >= 0 ? () => move(at + 1) : null;
      case "ArrowLeft": return opened >= 0 ? back : null;
      case "/": return () => byId("search").focus();
      case "?": return () => byId("keys").showModal();
      default:
    }
    if (reading) return null;
    switch (pressed) {
      case "ArrowDown": return () => move(at + 1);
      case "ArrowUp": return back;
      case "Home": return () => move(0);
      case "End": return () => move(matches.length - 1);
      case "PageDown": return () => move(at + list.page);
      case "PageUp": return () => move(at - list.page);
      case "Enter": return target.closest("button, a") ? null : enter;
      default: return null;
    }
  }

  async function start() {
    try {
      samples = await Samples.load(page.dataset.stem, JSON.parse(page.dataset.runs));
    } catch (error) {
      say(error.message);
      return;
    }
    filter = new Filter(samples, [Number(page.dataset.from), Number(page.dataset.to)]);
    drawing = new Drawing(samples, { video: page.dataset.video === "1" });
    list = new List(byId("list"), {
      height: ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize),
      draw: (element, row) => element.replaceChildren(...drawing.row(row)),
      seen,
      choose: (position) => {
        list.move(position);
        open(matches[position]);
      },
    });
    build();
    await follow();
  }

  document.addEventListener("DOMContentLoaded", start);
})();
