"use strict";
/* Which samples are shown. */

class Filter {
  // Kinds of predictions, one bit each.
  static ALL = 1;
  static WRONG = 2;
  static FAILED = 4;
  static UNPARSED = 8;
  static WORSE = 16;
  static BETTER = 32;

  /* `flipped`: the two runs that are compared by default. */
  constructor(samples, flipped) {
    this.samples = samples;
    this.flipped = flipped;
    this.show = "all"; // a key of `kinds`
    this.in = -1; // the run; -1: any
    [this.from, this.to] = flipped;
    this.category = ""; // name in the breakdown; empty: all
    this.search = "";
    this.hits = null; // result of the search, a byte a row; null: all
    this.bits = null; // the bits of each row
    this.bitsOf = ""; // the runs that the bits are about
    const { ALL, WRONG, FAILED, UNPARSED, WORSE, BETTER } = Filter;
    // Label, bits, number of runs they are about, and explanation.
    this.kinds = new Map([
      ["all", { label: "All", bits: ALL, about: "" }],
      ["wrong", { label: "Wrong", bits: WRONG, runs: 1,
        about: "value below 1, failed samples included" }],
      ["failed", { label: "Failed", bits: FAILED, runs: 1, about: "no prediction" }],
      ["unparsed", { label: "Unparsed", bits: UNPARSED, runs: 1,
        about: "no answer was found in the prediction" }],
    ]);
    if (samples.runs > 1) {
      this.kinds.set("flipped", { label: "Flipped", bits: WORSE | BETTER, runs: 2,
        about: "value changed" });
      this.kinds.set("worse", { label: "Worse", bits: WORSE, runs: 2, about: "value decreased" });
      this.kinds.set("better", { label: "Better", bits: BETTER, runs: 2, about: "value increased" });
    }
  }

  get kind() {
    return this.kinds.get(this.show);
  }

  /* Explanation of the kind that is shown. */
  get about() {
    const { labels } = this.samples;
    const { about, runs } = this.kind;
    return runs === 2 ? `${about} at ${labels[this.to]} than at ${labels[this.from]}` : about;
  }

  /* The selected rows, in order, and a function that counts the rows with certain bits. */
  pick() {
    this.classify();
    const { bits, hits } = this;
    const wanted = this.kind.bits;
    const category = this.inCategory();
    const tally = new Array(64).fill(0); // rows by their bits
    const rows = [];
    for (let row = 0; row < bits.length; row += 1) {
      if ((hits && !hits[row]) || (category && !category(row))) continue;
      tally[bits[row]] += 1;
      if (bits[row] & wanted) rows.push(row);
    }
    const count = (some) => tally.reduce((sum, n, of) => (of & some ? sum + n : sum), 0);
    return { rows, count };
  }

  /* Compute the bits of each row, once for each choice of runs. */
  classify() {
    const choice = `${this.in} ${this.from} ${this.to}`;
    if (choice === this.bitsOf) return;
    this.bitsOf = choice;
    const { samples } = this;
    const bits = new Uint8Array(samples.size).fill(Filter.ALL);
    for (let run = 0; run < samples.runs; run += 1) {
      if (this.in >= 0 && run !== this.in) continue;
      for (let row = 0; row < bits.length; row += 1) {
        if (samples.counts(run, row) && samples.value(run, row) < 1) bits[row] |= Filter.WRONG;
        if (samples.has(run, row, FLAG.failed)) bits[row] |= Filter.FAILED;
        if (samples.has(run, row, FLAG.unparsed)) bits[row] |= Filter.UNPARSED;
      }
    }
    for (let row = 0; row < bits.length && samples.runs > 1; row += 1) {
      const by = samples.change(this.from, this.to, row);
      if (by) bits[row] |= by < 0 ? Filter.WORSE : Filter.BETTER;
    }
    this.bits = bits;
  }

  /* A test for the selected category; null: all. */
  inCategory() {
    if (!this.category) return null;
    for (const { name, values, codes } of this.samples.index.facets) {
      const code = values.findIndex((text) => Filter.named(name, text) === this.category);
      if (code >= 0) return (row) => codes[row] === code;
    }
    return () => false;
  }

  /* The name of a facet's value in the breakdown. */
  static named(facet, text) {
    return facet === "category" ? text : `${facet}: ${text}`;
  }

  /* Run the search; false if it was replaced by a later one. */
  async find() {
    const wanted = this.search;
    const phrase = wanted.trim().replace(/\s+/g, " ").toLowerCase();
    const texts = phrase ? await this.samples.search() : null;
    if (this.search !== wanted) return false;
    this.hits = texts && new Uint8Array(texts.length);
    if (texts) texts.forEach((text, row) => (this.hits[row] = Number(text.includes(phrase))));
    return true;
  }

  /* The address after #, and back. */

  write(words) {
    const { labels } = this.samples;
    if (this.show !== "all") words.set("show", this.show);
    if (this.in >= 0) words.set("in", labels[this.in]);
    if (this.kind.runs === 2) {
      words.set("from", labels[this.from]);
      words.set("to", labels[this.to]);
    }
    if (this.category) words.set("cat", this.category);
    if (this.search) words.set("q", this.search);
  }

  read(words) {
    const run = (key, otherwise) => {
      const at = this.samples.labels.indexOf(words.get(key));
      return at < 0 ? otherwise : at;
    };
    this.show = this.kinds.has(words.get("show")) ? words.get("show") : "all";
    this.in = run("in", -1);
    this.from = run("from", this.flipped[0]);
    this.to = run("to", this.flipped[1]);
    this.category = words.get("cat") || "";
    this.search = words.get("q") || "";
  }
}
