"use strict";
/* The samples of a benchmark. The index for filters is loaded first, texts when they come into view,
   and the search index at the first search. */

const FLAG = Object.freeze({ failed: 1, unparsed: 2, empty: 4, truncated: 8, unscored: 16, blank: 32 });

class Samples {
  static KEPT = 60; // files of texts that are kept in memory

  /* Load the index of the benchmark whose files are in `stem`. */
  static async load(stem, labels) {
    const samples = new Samples(stem, labels);
    samples.index = await samples.get("index");
    return samples;
  }

  constructor(stem, labels) {
    this.stem = stem;
    this.labels = labels;
    this.index = null;
    this.files = new Map(); // files of texts by number; the last used is last
    this.loading = new Map();
    this.searched = null; // promise of one text a row
  }

  get(part) {
    const slug = this.stem.split("/").pop();
    return evalsuite.load(`../${this.stem}/${part}.js`, `${slug}/${part}`);
  }

  get size() {
    return this.index.ids.length;
  }

  get runs() {
    return this.labels.length;
  }

  /* Predictions. */

  has(run, row, flag) {
    return (this.index.flags[run][row] & flag) !== 0;
  }

  value(run, row) {
    return this.index.values[run][row];
  }

  counts(run, row) {
    return !this.has(run, row, FLAG.blank | FLAG.unscored);
  }

  /* Value in the run `to` minus value in the run `from`; 0 unless both count. */
  change(from, to, row) {
    if (!this.counts(from, row) || !this.counts(to, row)) return 0;
    return this.value(to, row) - this.value(from, row);
  }

  /* A sign, its style, and its meaning. */
  mark(run, row) {
    const value = this.value(run, row);
    if (this.has(run, row, FLAG.blank)) return ["–", "none", "not in this run"];
    if (this.has(run, row, FLAG.failed)) return ["!", "bad", "failed"];
    if (this.has(run, row, FLAG.unscored)) return ["○", "none", "not scored"];
    if (value >= 1) return ["✓", "good", "right"];
    if (value > 0) return [String(Math.round(value * 100) / 100), "part", "partly right"];
    const unparsed = this.has(run, row, FLAG.unparsed);
    return ["✗", "bad", unparsed ? "wrong, no answer found" : "wrong"];
  }

  /* Texts. */

  /* The number of the file with the texts of `row`. */
  fileOf(row) {
    const { starts } = this.index;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /* The texts of a row; null if they are not loaded. */
  texts(row) {
    const number = this.fileOf(row);
    const file = this.files.get(number);
    if (!file) return null;
    const at = row - this.index.starts[number];
    const [question, target, answers, images, shown, digest] = file.rows[at];
    const pictures = images.map((image) => file.images[image]);
    return { question, target, answers, pictures, shown, digest };
  }

  /* Resolves when the texts of `row` are loaded. */
  need(row) {
    const number = this.fileOf(row);
    const file = this.files.get(number);
    if (file) {
      this.files.delete(number);
      this.files.set(number, file);
      return Promise.resolve();
    }
    if (!this.loading.has(number)) {
      const loaded = this.get(String(number + 1).padStart(4, "0"))
        .then((texts) => {
          this.files.set(number, texts);
          if (this.files.size > Samples.KEPT) this.files.delete(this.files.keys().next().value);
        })
        .finally(() => this.loading.delete(number));
      this.loading.set(number, loaded);
    }
    return this.loading.get(number);
  }

  /* Promise of the searched texts, one a row. */
  search() {
    this.searched ??= (async () => {
      const parts = [];
      for (let number = 1; number <= this.index.searched; number += 1) {
        parts.push(this.get(`search-${String(number).padStart(4, "0")}`));
      }
      return (await Promise.all(parts)).flat();
    })().catch((error) => {
      this.searched = null; // try again at the next search
      throw error;
    });
    return this.searched;
  }
}
