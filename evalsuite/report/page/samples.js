"use strict";
/* The browser of samples. What filters go by is loaded at once, texts where they are seen, the
   search index at the first search. The address after # says what is shown. */

(() => {
  const { el, visible } = evalsuite;
  const FAILED = 1, UNPARSED = 2, EMPTY = 4, TRUNCATED = 8, UNSCORED = 16, BLANK = 32;
  const ROW_HEIGHT = 56;
  const KEPT_CHUNKS = 60;
  const IDLE_MS = 60;
  const TYPING_MS = 90;
  const ADDRESS_MS = 150; // browsers refuse an address that changes all the time
  const SIDE_BY_SIDE = 6; // runs with a column of their own in the list
  const WITH_TEXTS = 3; // and with their answers in it
  const ANY = "any";

  const page = document.getElementById("browser");
  const byId = (id) => document.getElementById(id);
  const stem = page.dataset.stem;
  const slug = stem.split("/").pop();
  const labels = JSON.parse(page.dataset.runs);
  const runs = labels.length;
  const video = page.dataset.video === "1";

  let index = null; // what filters go by
  let matches = []; // rows that fit, in order
  let opened = -1; // the row whose detail is open
  let list = null;

  const state = {
    show: "all", // which answers
    in: -1, // of which run; -1: of any
    from: 0,
    to: Math.max(0, runs - 1),
    category: "",
    search: "",
  };

  /* Data. */

  const get = (part) => evalsuite.load(`../${stem}/${part}.js`, `${slug}/${part}`);
  const padded = (number) => String(number).padStart(4, "0");
  const chunks = new Map(); // number → { rows, images }, the latest used last
  const loading = new Map();

  function chunkOf(row) {
    let low = 0;
    let high = index.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (index.starts[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /* The texts of a row if they are there, otherwise null. */
  function texts(row) {
    const number = chunkOf(row);
    const chunk = chunks.get(number);
    if (!chunk) return null;
    const [question, target, answers, images, shown, digest] = chunk.rows[row - index.starts[number]];
    const pictures = images.map((at) => chunk.images[at]);
    return { question, target, answers, pictures, shown, digest };
  }

  function need(row) {
    const number = chunkOf(row);
    if (chunks.has(number)) {
      const chunk = chunks.get(number);
      chunks.delete(number);
      chunks.set(number, chunk);
      return Promise.resolve();
    }
    if (!loading.has(number)) {
      const part = get(padded(number + 1)).then(
        (chunk) => {
          loading.delete(number);
          chunks.set(number, chunk);
          if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
        },
        (error) => {
          loading.delete(number);
          chunks.set(number, null);
          chunks.delete(number);
          say(error.message);
        },
      );
      loading.set(number, part);
    }
    return loading.get(number);
  }

  let idle = 0;
  let first = true;

  /* Load what is in view; while the list is scrolled, once that pauses. */
  function seen(rows, scrolling) {
    clearTimeout(idle);
    const missing = rows.filter((row) => !chunks.has(chunkOf(row)));
    if (!missing.length) {
      drawn();
      return;
    }
    const fetchThem = () =>
      Promise.all(missing.map(need)).then(() => {
        list.refresh();
        drawn();
      });
    if (scrolling) idle = setTimeout(fetchThem, IDLE_MS);
    else fetchThem();
  }

  /* Rows stand there with their texts. */
  function drawn() {
    if (!first) return;
    first = false;
    requestAnimationFrame(() => performance.mark("evalsuite:first-view"));
  }

  let searched = null; // a promise of one text a row

  function searchIndex() {
    searched ??= (async () => {
      const parts = [];
      for (let number = 1; number <= index.searched; number += 1) {
        parts.push(get(`search-${padded(number)}`));
      }
      return (await Promise.all(parts)).flat();
    })();
    return searched;
  }

  /* Filters. */

  const counts = (run, row) => !(index.flags[run][row] & (BLANK | UNSCORED));
  const wrong = (run, row) => counts(run, row) && index.values[run][row] < 1;

  function change(row) {
    const { from, to } = state;
    if (!counts(from, row) || !counts(to, row)) return 0;
    return index.values[to][row] - index.values[from][row];
  }

  // What answers can be picked by: a bit each, what the button says, and which choice goes with it.
  const ALL = 1, WRONG = 2, NO_ANSWER = 4, NOT_PARSED = 8, WORSE = 16, BETTER = 32;
  const SHOWN = new Map([
    ["all", { label: "All", bits: ALL }],
    ["wrong", { label: "Wrong", bits: WRONG, of: true }],
    ["failed", { label: "Failed", bits: NO_ANSWER, of: true }],
    ["unparsed", { label: "Unparsed", bits: NOT_PARSED, of: true }],
  ]);
  if (runs > 1) {
    SHOWN.set("flipped", { label: "Flipped", bits: WORSE | BETTER, flip: true });
    SHOWN.set("worse", { label: "Worse", bits: WORSE, flip: true });
    SHOWN.set("better", { label: "Better", bits: BETTER, flip: true });
  }

  let kinds = null; // the bits of each row
  let kindsOf = ""; // for which choice of checkpoints

  /* Work out the bits of each row, once for every choice of checkpoints. */
  function classify() {
    const choice = `${state.in} ${state.from} ${state.to}`;
    if (choice === kindsOf) return;
    kindsOf = choice;
    kinds = new Uint8Array(index.ids.length).fill(ALL);
    for (let run = 0; run < runs; run += 1) {
      if (state.in >= 0 && run !== state.in) continue;
      const flags = index.flags[run];
      for (let row = 0; row < kinds.length; row += 1) {
        if (wrong(run, row)) kinds[row] |= WRONG;
        if (flags[row] & FAILED) kinds[row] |= NO_ANSWER;
        if (flags[row] & UNPARSED) kinds[row] |= NOT_PARSED;
      }
    }
    if (runs < 2) return;
    for (let row = 0; row < kinds.length; row += 1) {
      const by = change(row);
      if (by) kinds[row] |= by < 0 ? WORSE : BETTER;
    }
  }

  const FLIPS = new Map([
    ["flipped", "worth more or less"],
    ["worse", "worth less"],
    ["better", "worth more"],
  ]);

  let hits = null; // of the search, a byte a row; null: all

  async function findHits() {
    const wanted = state.search;
    const phrase = wanted.trim().replace(/\s+/g, " ").toLowerCase();
    if (!phrase) {
      hits = null;
      return true;
    }
    const all = await searchIndex();
    if (state.search !== wanted) return false; // something else was typed meanwhile
    hits = new Uint8Array(index.ids.length);
    for (let row = 0; row < all.length; row += 1) if (all[row].includes(phrase)) hits[row] = 1;
    return true;
  }

  /* A test for the category that is chosen, as the breakdown names it; null: all. */
  function inCategory() {
    if (!state.category) return null;
    for (const { name, values, codes } of index.facets) {
      const code = values.findIndex((text) => named(name, text) === state.category);
      if (code >= 0) return (row) => codes[row] === code;
    }
    return () => false;
  }

  const named = (facet, text) => (facet === "category" ? text : `${facet}: ${text}`);

  /* Work out what fits, and show it; `kept` is the row to stay at. */
  function filter(kept) {
    classify();
    const category = inCategory();
    const wanted = SHOWN.get(state.show).bits;
    const tally = new Array(64).fill(0); // rows by their bits
    matches = [];
    for (let row = 0; row < kinds.length; row += 1) {
      if ((hits && !hits[row]) || (category && !category(row))) continue;
      tally[kinds[row]] += 1;
      if (kinds[row] & wanted) matches.push(row);
    }
    const count = (bits) => tally.reduce((sum, rows, of) => (of & bits ? sum + rows : sum), 0);
    for (const [kind, { bits }] of SHOWN) {
      const chip = byId(`show-${kind}`);
      chip.querySelector(".count").textContent = count(bits).toLocaleString("en");
      chip.setAttribute("aria-pressed", String(kind === state.show));
    }
    const chosen = SHOWN.get(state.show);
    byId("in-box").hidden = !(chosen.of && runs > 1);
    for (const id of ["from-box", "to-box"]) byId(id).hidden = !chosen.flip;
    list.show(matches, matches.indexOf(kept));
    if (opened >= 0) drawDetail(opened); // its place among the others is another
    tell();
  }

  function tell() {
    const total = index.ids.length.toLocaleString("en");
    const some = matches.length.toLocaleString("en");
    const said = matches.length === index.ids.length ? `${total} samples` : `${some} of ${total} samples`;
    const parts = [said];
    if (!matches.length) parts.push("none fits");
    if (state.search && index.cut) {
      const [question, answer] = index.limits;
      parts.push(
        `searched: id, question (first ${question} characters), target and predictions ` +
          `(first ${answer}); ${index.cut.toLocaleString("en")} samples have longer texts`,
      );
    } else if (state.search) parts.push("searched: id, question, target, predictions and errors");
    else if (state.show === "wrong") parts.push("worth less than a right answer, failed ones included");
    else if (state.show === "failed") parts.push("no answer could be had");
    else if (state.show === "unparsed") parts.push("the benchmark’s rule found no answer in the text");
    else if (SHOWN.get(state.show).flip) parts.push(`${FLIPS.get(state.show)} at ${visible(labels[state.to])} than at ${visible(labels[state.from])}`);
    say(parts.join(" · "));
  }

  function say(text) {
    byId("status").textContent = text;
  }

  /* Search or filter with what `state` has; a later call overtakes an earlier one. */
  async function apply(kept = list.at >= 0 ? matches[list.at] : -1) {
    if (state.search.trim() && !searched) say("Loading the search index …");
    try {
      if (!(await findHits())) return;
    } catch (error) {
      searched = null;
      say(error.message);
      return;
    }
    filter(kept);
    write();
  }

  /* Rows. */

  function mark(run, row) {
    const flags = index.flags[run][row];
    const worth = index.values[run][row];
    if (flags & BLANK) return ["–", "none", "not in this run"];
    if (flags & FAILED) return ["!", "bad", "failed"];
    if (flags & UNSCORED) return ["○", "none", "not scored"];
    if (worth >= 1) return ["✓", "good", "right"];
    if (worth > 0) return [String(Math.round(worth * 100) / 100), "part", "partly right"];
    return ["✗", "bad", flags & UNPARSED ? "wrong, no answer found in it" : "wrong"];
  }

  function badge(run, row) {
    const [sign, kind, words] = mark(run, row);
    return el("span", { class: `mark ${kind}` }, el("span", { "aria-hidden": "true" }, sign),
      el("span", { class: "hidden" }, words));
  }

  const brief = (text) => visible(text.slice(0, 300).replace(/\s+/g, " "));

  function drawRow(element, row) {
    const there = texts(row);
    const cells = [el("span", { class: "id" }, visible(index.ids[row]))];
    const question = there ? brief(there.question) || "(no question)" : "…";
    cells.push(thumbnail(there), el("span", { class: "question", dir: "auto" }, question));
    cells.push(el("span", { class: "target", dir: "auto" }, there ? brief(there.target) : ""));
    if (runs > SIDE_BY_SIDE) cells.push(el("span", { class: "answer" }, howMany(row)));
    for (let run = 0; run < runs && runs <= SIDE_BY_SIDE; run += 1) {
      const cell = el("span", { class: "answer" }, badge(run, row));
      const answer = there && there.answers[run];
      if (answer && runs <= WITH_TEXTS) {
        const empty = index.flags[run][row] & EMPTY;
        const text = answer[1] ? brief(answer[1]) : empty ? "empty" : brief(answer[0]);
        cell.append(el("span", { class: answer[1] || empty ? "faint" : "", dir: "auto" }, text));
      }
      cells.push(cell);
    }
    element.replaceChildren(...cells);
  }

  /* In how many of many runs it is right. */
  function howMany(row) {
    let right = 0;
    let asked = 0;
    for (let run = 0; run < runs; run += 1) {
      if (!counts(run, row)) continue;
      asked += 1;
      if (index.values[run][row] >= 1) right += 1;
    }
    return `${right} of ${asked} right`;
  }

  function thumbnail(there) {
    const box = el("span", { class: "thumb", "aria-hidden": "true" });
    const small = there && there.pictures.find(([source]) => source.startsWith("media/"));
    if (small) {
      const image = el("img", { src: `../${small[0]}`, alt: "", loading: "lazy", decoding: "async" });
      image.addEventListener("error", () => image.remove());
      box.append(image);
    }
    return box;
  }

  /* The detail. */

  const detail = byId("detail");

  function drawDetail(row) {
    const there = texts(row);
    const position = list.at;
    const step = (text, by, label) => {
      const button = el("button", { type: "button", "aria-label": label }, text);
      button.disabled = !(position + by in matches);
      button.addEventListener("click", () => move(position + by));
      return button;
    };
    const shut = el("button", { type: "button", class: "close", "aria-label": "Close" }, "✕");
    shut.addEventListener("click", close);
    const place = position < 0 ? "" : `${(position + 1).toLocaleString("en")} of ${matches.length.toLocaleString("en")}`;
    const head = el("div", { class: "detail-head" },
      el("h2", {}, "Sample ", el("bdi", {}, visible(index.ids[row]))),
      el("span", { class: "faint" }, place),
      step("‹", -1, "Previous sample"), step("›", 1, "Next sample"), shut);
    if (!there) {
      detail.replaceChildren(head, el("p", { class: "faint" }, "Loading …"));
      return;
    }
    const held = detail.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label")
      : null;
    detail.replaceChildren(head, ...pictures(there),
      part("Question", there.question || "(none)", there.question ? "" : "faint"),
      part("Target", there.target || "(none)", there.target ? "target-text" : "faint"),
      answers(there, row), about(there, row));
    detail.scrollTop = 0;
    if (held === null) return;
    // The button that was pressed is a new one; at the end of the list it cannot be.
    const again = [...head.children].find((each) => each.getAttribute("aria-label") === held);
    (again && !again.disabled ? again : detail).focus();
  }

  function part(title, text, kind) {
    return el("div", { class: "part" }, el("h3", {}, title),
      el("p", { class: `text ${kind}`, dir: "auto" }, visible(text)));
  }

  function* pictures({ pictures: found, shown }) {
    if (!shown) return;
    const what = video ? "frame" : "image";
    const box = el("div", { class: "pictures" });
    found.forEach(([source, why], at) => {
      const name = `${what} ${at + 1} of ${found.length}`;
      box.append(source ? picture(source, name) : el("p", { class: "gone" }, why));
    });
    const some = found.length < shown
      ? el("p", { class: "faint" }, found.length
        ? `${found.length} of ${shown} ${what}s`
        : `${shown} ${what}${shown > 1 ? "s" : ""}, not in this page`)
      : "";
    if (found.length) yield box;
    if (some) yield some;
  }

  function picture(source, name) {
    const address = source.startsWith("file:") ? source : `../${source}`;
    const image = el("img", { src: address, alt: name, loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => {
      image.replaceWith(el("p", { class: "gone" }, "the image is no longer there"));
    });
    return image;
  }

  function answers(there, row) {
    const box = el("div", { class: "answers" });
    labels.forEach((label, run) => {
      const card = el("div", { class: "card" });
      const [, kind, words] = mark(run, row);
      card.append(el("h3", {}, el("bdi", {}, visible(label)), badge(run, row),
        el("span", { class: `word ${kind}`, "aria-hidden": "true" }, words)));
      const answer = there.answers[run];
      if (answer) {
        const [text, error] = answer;
        if (text) card.append(el("p", { class: "text", dir: "auto" }, visible(text)));
        for (const note of notes(index.flags[run][row], error)) {
          card.append(el("p", { class: "note" }, note));
        }
      }
      box.append(card);
    });
    return box;
  }

  function* notes(flags, error) {
    if (flags & FAILED) yield `no answer: ${visible(error) || "no reason given"}`;
    if (flags & EMPTY) yield "the answer is empty";
    if (flags & TRUNCATED) yield "cut at the token limit";
    if (flags & UNPARSED) yield "the benchmark’s rule found no answer in it";
    if (flags & UNSCORED) yield "no part of the score";
  }

  function about(there, row) {
    const facts = el("dl", { class: "facts" });
    const add = (name, text) =>
      facts.append(el("div", {}, el("dt", {}, visible(name)), el("dd", { dir: "auto" }, visible(text))));
    for (const { name, values, codes } of index.facets) add(name, values[codes[row]]);
    if (there.digest) add("prompt", there.digest);
    return facts;
  }

  async function open(row) {
    opened = row;
    page.classList.add("open");
    detail.hidden = false;
    drawDetail(row);
    write();
    if (texts(row)) return;
    await need(row);
    if (opened === row && texts(row)) drawDetail(row);
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

  /* The address. */

  let written = null;
  let writing = 0;

  function write() {
    clearTimeout(writing);
    writing = setTimeout(writeNow, ADDRESS_MS);
  }

  function writeNow() {
    const words = new URLSearchParams();
    if (state.show !== "all") words.set("show", state.show);
    if (state.in >= 0) words.set("in", labels[state.in]);
    if (SHOWN.get(state.show).flip) {
      words.set("from", labels[state.from]);
      words.set("to", labels[state.to]);
    }
    if (state.category) words.set("cat", state.category);
    if (state.search) words.set("q", state.search);
    if (opened >= 0) {
      words.set("sample", index.ids[opened]);
      const nth = index.ids.slice(0, opened).filter((id) => id === index.ids[opened]).length;
      if (nth) words.set("nth", String(nth));
    }
    const hash = `#${words}`;
    if (hash === written) return;
    written = hash;
    try {
      history.replaceState(null, "", hash);
    } catch {
      location.replace(hash); // where history is refused to pages from disk, or called too often
    }
  }

  function read() {
    const words = new URLSearchParams(location.hash.slice(1));
    const run = (key, otherwise) => {
      const at = labels.indexOf(words.get(key));
      return at < 0 ? otherwise : at;
    };
    state.show = SHOWN.has(words.get("show")) ? words.get("show") : "all";
    state.in = run("in", -1);
    state.from = run("from", 0);
    state.to = run("to", Math.max(0, runs - 1));
    state.category = words.get("cat") || "";
    state.search = words.get("q") || "";
    byId("in").value = state.in < 0 ? ANY : String(state.in);
    byId("from").value = String(state.from);
    byId("to").value = String(state.to);
    byId("category").value = state.category;
    byId("search").value = state.search;
    const id = words.get("sample");
    if (id === null) return -1;
    let nth = Number(words.get("nth")) || 0;
    return index.ids.findIndex((known) => known === id && nth-- === 0);
  }

  async function follow() {
    clearTimeout(writing);
    if (location.hash === written) return;
    const row = read();
    written = location.hash || "#";
    opened = row;
    await apply(row);
    if (row >= 0) await open(row);
    else hide();
  }

  /* What the user does. */

  function build() {
    for (const [kind, { label }] of SHOWN) {
      const chip = el("button", { type: "button", id: `show-${kind}`, class: "chip" },
        `${label} `, el("span", { class: "count" }));
      chip.addEventListener("click", () => {
        state.show = kind;
        apply();
      });
      byId("show").append(chip);
    }
    const options = labels.map((label, run) => el("option", { value: run }, visible(label)));
    byId("in").append(el("option", { value: ANY }, "any checkpoint"), ...options);
    for (const id of ["from", "to"]) byId(id).append(...options.map((each) => each.cloneNode(true)));
    byId("in").addEventListener("change", (event) => {
      state.in = event.target.value === ANY ? -1 : Number(event.target.value);
      apply();
    });
    for (const id of ["from", "to"]) {
      byId(id).addEventListener("change", (event) => {
        state[id] = Number(event.target.value);
        apply();
      });
    }
    categories();
    let typing = 0;
    byId("search").addEventListener("input", (event) => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        state.search = event.target.value;
        apply();
      }, TYPING_MS);
    });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("keys-button").addEventListener("click", () => byId("keys").showModal());
    byId("keys-close").addEventListener("click", () => byId("keys").close());
    const columns = runs > SIDE_BY_SIDE ? ["checkpoints"] : labels;
    const head = ["id", "", "question", "target", ...columns];
    byId("list-head").append(...head.map((text, at) =>
      el("span", { class: ["id", "thumb", "question", "target"][at] || "answer" }, visible(text))));
    page.style.setProperty("--runs", columns.length);
    const longest = index.ids.reduce((most, id) => Math.max(most, id.length), 0);
    page.style.setProperty("--id", `${0.6 * Math.min(Math.max(longest, 3), 14)}rem`);
    page.classList.toggle("many", columns.length > WITH_TEXTS);
    window.addEventListener("hashchange", follow);
    document.addEventListener("keydown", key);
  }

  function categories() {
    const select = byId("category");
    byId("category-box").hidden = !index.facets.length;
    select.append(el("option", { value: "" }, "all"));
    for (const { name, values, codes } of index.facets) {
      const sizes = new Array(values.length).fill(0);
      for (const code of codes) sizes[code] += 1;
      const group = el("optgroup", { label: visible(name) });
      values.forEach((text, code) => {
        const shown = `${visible(text)} (${sizes[code].toLocaleString("en")})`;
        group.append(el("option", { value: named(name, text) }, shown));
      });
      select.append(group);
    }
    select.addEventListener("change", () => {
      state.category = select.value;
      apply();
    });
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

  function action(event) {
    const at = list.at;
    const reading = detail.contains(event.target); // there arrows up and down scroll
    const pressing = event.target.closest("button, a");
    switch (event.key) {
      case "j": return () => move(at + 1);
      case "k": return () => move(at < 0 ? 0 : at - 1);
      case "ArrowDown": return reading ? null : () => move(at + 1);
      case "ArrowUp": return reading ? null : () => move(at < 0 ? 0 : at - 1);
      case "ArrowRight": return opened >= 0 ? () => move(at + 1) : null;
      case "ArrowLeft": return opened >= 0 ? () => move(at - 1) : null;
      case "Home": return reading ? null : () => move(0);
      case "End": return reading ? null : () => move(matches.length - 1);
      case "PageDown": return reading ? null : () => move(at + list.page);
      case "PageUp": return reading ? null : () => move(at - list.page);
      case "Enter": return pressing || reading ? null : enter;
      case "/": return () => byId("search").focus();
      case "?": return () => byId("keys").showModal();
      default: return null;
    }
  }

  function enter() {
    if (!matches.length) return;
    if (list.at < 0) list.move(0);
    if (opened < 0) open(matches[list.at]);
    else detail.focus();
  }

  async function start() {
    try {
      index = await get("index");
    } catch (error) {
      say(error.message);
      return;
    }
    list = new List(byId("list"), {
      height: ROW_HEIGHT,
      draw: drawRow,
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
