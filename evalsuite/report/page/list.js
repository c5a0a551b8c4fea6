"use strict";
/* A list of any length; only the rows in view are in the document. */

class List {
  /* `draw(element, item)` fills a row; `item` is the one of `items` at its position. */
  constructor(box, { height, draw, choose, seen }) {
    this.box = box;
    this.spacer = box.firstElementChild;
    this.height = height;
    this.draw = draw;
    this.choose = choose;
    this.seen = seen;
    this.items = [];
    this.at = -1; // the selected position
    this.rows = new Map(); // by position
    this.asked = false;
    box.addEventListener("scroll", () => this.later(), { passive: true });
    box.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.choose(Number(row.dataset.position), true);
    });
    new ResizeObserver(() => this.later()).observe(box);
  }

  /* Show `items`; rows are drawn at once. */
  show(items, at) {
    this.items = items;
    this.spacer.style.height = `${items.length * this.height}px`;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.at = at;
    if (at < 0) this.box.scrollTop = 0;
    else this.reveal(at);
    this.render();
  }

  /* Select the position `at`, and scroll it into view. */
  move(at) {
    const before = this.rows.get(this.at);
    if (before) before.setAttribute("aria-selected", "false");
    this.at = at;
    this.reveal(at);
    this.render();
  }

  /* Draw the rows in view again, after data has arrived. */
  refresh() {
    for (const [position, row] of this.rows) this.fill(row, position);
  }

  get page() {
    return Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
  }

  reveal(at) {
    const top = at * this.height;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) {
      this.box.scrollTop = top + this.height - clientHeight;
    }
  }

  later() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.render(true);
    });
  }

  render(scrolling = false) {
    const { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / this.height) - 4);
    const last = Math.min(
      this.items.length,
      Math.ceil((scrollTop + clientHeight) / this.height) + 4,
    );
    for (const [position, row] of this.rows) {
      if (position < first || position >= last) {
        row.remove();
        this.rows.delete(position);
      }
    }
    const made = document.createDocumentFragment();
    for (let position = first; position < last; position += 1) {
      let row = this.rows.get(position);
      if (!row) {
        row = evalsuite.el("div", { role: "option", class: "row", id: `row-${position}` });
        row.dataset.position = position;
        row.setAttribute("aria-setsize", this.items.length);
        row.setAttribute("aria-posinset", position + 1);
        row.style.transform = `translateY(${position * this.height}px)`;
        this.fill(row, position);
        this.rows.set(position, row);
        made.append(row);
      }
      row.setAttribute("aria-selected", String(position === this.at));
    }
    this.spacer.append(made);
    if (this.at >= 0) this.box.setAttribute("aria-activedescendant", `row-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
    this.seen(this.items.slice(first, last), scrolling);
  }

  fill(row, position) {
    this.draw(row, this.items[position]);
  }
}
