"use strict";
/* The browser of samples: the list of those that the filter selects, and the detail of one. */

class Browser {
  static ROW_REM = 3.5; // as in page.css
  static IDLE_MS = 60;

  constructor(samples, root) {
    this.samples = samples;
    this.root = root;
    this.detail = document.getElementById("detail");
    this.matches = []; // selected rows, in order
    this.opened = -1; // the row whose detail is open; -1: none
    this.idle = 0;
    this.first = true;
    const { from, to, video } = root.dataset;
    this.filter = new Filter(samples, [Number(from), Number(to)]);
    this.address = new Address(this.filter, samples.index.ids);
    this.drawing = new Drawing(samples, { video: video === "1" });
    const box = document.getElementById("list");
    const style = getComputedStyle(document.documentElement);
    this.list = new List(box, {
      height: Browser.ROW_REM * parseFloat(style.fontSize),
      draw: (element, row) => element.replaceChildren(...this.drawing.row(row)),
      seen: (rows, scrolling) => this.loadSeen(rows, scrolling),
      choose: (position) => {
        this.list.move(position);
        this.open(this.matches[position]);
      },
    });
    this.controls = new Controls(samples, this.filter, () => this.apply());
    new Keys(this, {
      list: box,
      detail: this.detail,
      search: document.getElementById("search"),
      help: document.getElementById("keys"),
    });
    this.buildHead();
    window.addEventListener("hashchange", () => this.follow());
  }

  get at() {
    return this.list.at;
  }

  get page() {
    return this.list.page;
  }

  get size() {
    return this.matches.length;
  }

  static say(text) {
    document.getElementById("status").textContent = text;
  }

  /* The list. */

  buildHead() {
    const { el, visible } = evalsuite;
    const { columns } = this.drawing;
    const kinds = ["id", "thumb", "question", "target"];
    const head = ["id", "", "question", "target", ...columns];
    document.getElementById("list-head").append(...head.map((text, at) =>
      el("span", { class: kinds[at] || "answer", title: visible(text) }, visible(text))));
    const longest = this.samples.index.ids.reduce((most, id) => Math.max(most, id.length), 0);
    this.root.style.setProperty("--id", `${0.6 * Math.min(Math.max(longest, 3), 14)}rem`);
    this.root.style.setProperty("--runs", columns.length);
    this.root.classList.toggle("some", columns.length === Drawing.WITH_TEXTS);
    this.root.classList.toggle("many", columns.length > Drawing.WITH_TEXTS);
  }

  /* Load the texts of the rows in view; during scrolling, only after a pause. */
  loadSeen(rows, scrolling) {
    clearTimeout(this.idle);
    const missing = rows.filter((row) => !this.samples.texts(row));
    if (!missing.length) {
      this.markFirst();
      return;
    }
    const load = () =>
      Promise.all(missing.map((row) => this.samples.need(row))).then(
        () => {
          this.list.refresh();
          this.markFirst();
        },
        (error) => Browser.say(error.message),
      );
    if (scrolling) this.idle = setTimeout(load, Browser.IDLE_MS);
    else load();
  }

  /* Mark, for measurements, that the first rows have their texts. */
  markFirst() {
    if (this.first) requestAnimationFrame(() => performance.mark("evalsuite:first-view"));
    this.first = false;
  }

  /* Search and filter, and keep the position at the row `kept`. A later call replaces this one. */
  async apply(kept = this.at >= 0 ? this.matches[this.at] : -1) {
    const { filter, samples } = this;
    if (filter.search.trim() && !samples.searched) Browser.say("Loading the search index …");
    try {
      if (!(await filter.find())) return;
    } catch (error) {
      Browser.say(error.message);
      return;
    }
    const { rows, count } = filter.pick();
    this.matches = rows;
    this.controls.showCounts(count);
    this.list.show(rows, rows.indexOf(kept));
    if (this.opened >= 0) this.drawDetail(this.opened); // its position has changed
    Browser.say(this.summary());
    this.address.write(this.opened);
  }

  summary() {
    const { filter, samples } = this;
    const { number } = Controls;
    const { cut, limits } = samples.index;
    const all = this.size === samples.size;
    const parts = [`${all ? "" : `${number(this.size)} of `}${number(samples.size)} ${
      samples.size === 1 ? "sample" : "samples"}`];
    if (!this.size) parts.push("no match");
    if (filter.search && cut) {
      parts.push(
        `searched: id, question (first ${number(limits[0])} characters), target and predictions ` +
          `(first ${number(limits[1])}); ${number(cut)} samples have longer texts`,
      );
    } else if (filter.search) parts.push("searched: id, question, target, predictions and errors");
    else if (filter.about) parts.push(evalsuite.visible(filter.about));
    return parts.join(" · ");
  }

  move(position) {
    if (!this.size) return;
    const to = Math.min(Math.max(position, 0), this.size - 1);
    this.list.move(to);
    if (this.opened >= 0) this.open(this.matches[to]);
    else this.address.write(this.opened);
  }

  enter() {
    if (!this.size) return;
    if (this.at < 0) this.list.move(0);
    if (this.opened < 0) this.open(this.matches[this.at]);
    else this.detail.focus();
  }

  /* The detail. */

  drawDetail(row) {
    const { detail } = this;
    const focused = detail.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label")
      : null;
    const head = this.detailHead(row);
    detail.replaceChildren(head, ...this.drawing.whole(row));
    detail.scrollTop = 0;
    if (focused === null) return;
    // The button with the focus was replaced; at the end of the list the new one is disabled.
    const again = [...head.children].find((each) => each.getAttribute("aria-label") === focused);
    (again && !again.disabled ? again : detail).focus();
  }

  detailHead(row) {
    const { el, visible } = evalsuite;
    const { number } = Controls;
    const { at } = this;
    const button = (text, label, act) => {
      const made = el("button", { type: "button", "aria-label": label }, text);
      made.addEventListener("click", act);
      return made;
    };
    const step = (text, by, label) => {
      const made = button(text, label, () => this.move(at + by));
      made.disabled = !(at + by in this.matches);
      return made;
    };
    const place = at < 0 ? "" : `${number(at + 1)} of ${number(this.size)}`;
    return el("div", { class: "detail-head" },
      el("h2", {}, "Sample ", el("bdi", {}, visible(this.samples.index.ids[row]))),
      el("span", { class: "faint" }, place),
      step("‹", -1, "Previous sample"),
      step("›", 1, "Next sample"),
      button("✕", "Close", () => this.close()));
  }

  async open(row) {
    this.opened = row;
    this.root.classList.add("open");
    this.detail.hidden = false;
    this.drawDetail(row);
    this.address.write(row);
    if (this.samples.texts(row)) return;
    try {
      await this.samples.need(row);
    } catch (error) {
      Browser.say(error.message);
    }
    if (this.opened === row && this.samples.texts(row)) this.drawDetail(row);
  }

  hide() {
    this.opened = -1;
    this.root.classList.remove("open");
    this.detail.hidden = true;
  }

  close() {
    if (this.opened < 0) return;
    this.hide();
    this.list.box.focus({ preventScroll: true });
    if (this.at >= 0) this.list.reveal(this.at);
    this.list.later();
    this.address.write(this.opened);
  }

  /* Show what the address says. */
  async follow() {
    const row = this.address.read();
    if (row === null) return;
    this.controls.update();
    this.opened = row;
    await this.apply(row);
    if (row >= 0) await this.open(row);
    else this.hide();
  }
}

document.addEventListener("DOMContentLoaded", async () => {
  const root = document.getElementById("browser");
  try {
    const samples = await Samples.load(root.dataset.stem, JSON.parse(root.dataset.runs));
    await new Browser(samples, root).follow();
  } catch (error) {
    Browser.say(error.message);
  }
});
