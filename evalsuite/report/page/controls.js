"use strict";
/* The controls above the list: what to show, of which runs and category, and the search. */

class Controls {
  static TYPING_MS = 60;
  static ANY = "any";

  /* `changed` is called when the user has changed `filter`. */
  constructor(samples, filter, changed) {
    this.samples = samples;
    this.filter = filter;
    this.changed = changed;
    this.buildChips();
    this.buildRuns();
    this.buildCategories();
    this.buildSearch();
    const keys = Controls.byId("keys");
    Controls.byId("filters").addEventListener("submit", (event) => event.preventDefault());
    Controls.byId("keys-button").addEventListener("click", () => keys.showModal());
    Controls.byId("keys-close").addEventListener("click", () => keys.close());
  }

  static byId(id) {
    return document.getElementById(id);
  }

  static number(count) {
    return count.toLocaleString("en");
  }

  /* Set the controls to the filter. */
  update() {
    const { filter } = this;
    Controls.byId("in").value = filter.in < 0 ? Controls.ANY : String(filter.in);
    Controls.byId("from").value = String(filter.from);
    Controls.byId("to").value = String(filter.to);
    Controls.byId("category").value = filter.category;
    Controls.byId("search").value = filter.search;
  }

  /* Show how many samples each choice has; `count` counts those with certain bits. */
  showCounts(count) {
    const { filter } = this;
    for (const [kind, { bits }] of filter.kinds) {
      const chip = Controls.byId(`show-${kind}`);
      chip.querySelector(".count").textContent = Controls.number(count(bits));
      chip.setAttribute("aria-pressed", String(kind === filter.show));
    }
    Controls.byId("in-box").hidden = !(filter.kind.runs === 1 && this.samples.runs > 1);
    for (const id of ["from-box", "to-box"]) Controls.byId(id).hidden = filter.kind.runs !== 2;
  }

  buildChips() {
    const { el } = evalsuite;
    for (const [kind, { label }] of this.filter.kinds) {
      const chip = el("button", { type: "button", id: `show-${kind}`, class: "chip" },
        `${label} `, el("span", { class: "count" }));
      chip.addEventListener("click", () => {
        this.filter.show = kind;
        this.changed();
      });
      Controls.byId("show").append(chip);
    }
  }

  buildRuns() {
    const { el, visible } = evalsuite;
    const options = this.samples.labels.map((label, run) =>
      el("option", { value: run }, visible(label)));
    Controls.byId("in").append(el("option", { value: Controls.ANY }, "any checkpoint"));
    for (const id of ["in", "from", "to"]) {
      Controls.byId(id).append(...options.map((option) => option.cloneNode(true)));
      Controls.byId(id).addEventListener("change", ({ target }) => {
        this.filter[id] = target.value === Controls.ANY ? -1 : Number(target.value);
        this.changed();
      });
    }
  }

  buildCategories() {
    const { el, visible } = evalsuite;
    const { facets } = this.samples.index;
    const select = Controls.byId("category");
    Controls.byId("category-box").hidden = !facets.length;
    select.append(el("option", { value: "" }, "all"));
    for (const { name, values, codes } of facets) {
      const sizes = new Array(values.length).fill(0);
      for (const code of codes) sizes[code] += 1;
      select.append(el("optgroup", { label: visible(name) }, ...values.map((text, code) =>
        el("option", { value: Filter.named(name, text) },
          `${visible(text)} (${Controls.number(sizes[code])})`))));
    }
    select.addEventListener("change", () => {
      this.filter.category = select.value;
      this.changed();
    });
  }

  buildSearch() {
    let timer = 0;
    Controls.byId("search").addEventListener("input", ({ target }) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.filter.search = target.value;
        this.changed();
      }, Controls.TYPING_MS);
    });
  }
}
