"use strict";
/* How a sample is drawn: as a row of the list, and in full. */

class Drawing {
  static SIDE_BY_SIDE = 6; // most runs that have their own columns in the list
  static WITH_TEXTS = 3; // most runs whose predictions are in the list
  static BRIEF = 300; // characters of a text in the list

  constructor(samples, { video }) {
    this.samples = samples;
    this.media = video ? "frame" : "image";
  }

  /* A row of the list. */

  get columns() {
    const { runs, labels } = this.samples;
    return runs > Drawing.SIDE_BY_SIDE ? ["checkpoints"] : labels;
  }

  row(row) {
    const { samples } = this;
    const texts = samples.texts(row);
    const brief = (text) => evalsuite.visible(text.slice(0, Drawing.BRIEF).replace(/\s+/g, " "));
    const cell = (kind, text) => evalsuite.el("span", { class: kind, dir: "auto" }, text);
    const cells = [
      evalsuite.el("span", { class: "id" }, evalsuite.visible(samples.index.ids[row])),
      this.thumbnail(texts),
      cell("question", texts ? brief(texts.question) || "(no question)" : "…"),
      cell("target", texts ? brief(texts.target) : ""),
    ];
    if (samples.runs > Drawing.SIDE_BY_SIDE) return [...cells, cell("answer", this.howMany(row))];
    for (let run = 0; run < samples.runs; run += 1) {
      const answer = evalsuite.el("span", { class: "answer" }, this.badge(run, row));
      const [text, error] = (texts && texts.answers[run]) || ["", ""];
      if (texts && samples.runs <= Drawing.WITH_TEXTS) {
        const empty = samples.has(run, row, FLAG.empty);
        answer.append(cell(error || empty ? "faint" : "", empty ? "empty" : brief(error || text)));
      }
      cells.push(answer);
    }
    return cells;
  }

  thumbnail(texts) {
    const box = evalsuite.el("span", { class: "thumb", "aria-hidden": "true" });
    const small = texts && texts.pictures.find(([source]) => source.startsWith("media/"));
    if (small) {
      const image = this.image(small[0], "");
      image.addEventListener("error", () => image.remove());
      box.append(image);
    }
    return box;
  }

  badge(run, row) {
    const [sign, kind, words] = this.samples.mark(run, row);
    return evalsuite.el("span", { class: `mark ${kind}` },
      evalsuite.el("span", { "aria-hidden": "true" }, sign),
      evalsuite.el("span", { class: "hidden" }, words));
  }

  /* The number of runs in which the sample is right. */
  howMany(row) {
    let right = 0;
    let asked = 0;
    for (let run = 0; run < this.samples.runs; run += 1) {
      if (!this.samples.counts(run, row)) continue;
      asked += 1;
      if (this.samples.value(run, row) >= 1) right += 1;
    }
    return `${right} of ${asked} right`;
  }

  /* The detail. */

  whole(row) {
    const texts = this.samples.texts(row);
    if (!texts) return [evalsuite.el("p", { class: "faint" }, "Loading …")];
    return [
      ...this.pictures(texts),
      this.part("Question", texts.question, ""),
      this.part("Target", texts.target, "target-text"),
      this.answers(texts, row),
      this.facts(texts, row),
    ];
  }

  part(title, text, kind) {
    return evalsuite.el("div", { class: "part" }, evalsuite.el("h3", {}, title),
      evalsuite.el("p", { class: `text ${text ? kind : "faint"}`, dir: "auto" },
        evalsuite.visible(text) || "(none)"));
  }

  *pictures({ pictures, shown }) {
    const what = `${this.media}${shown > 1 ? "s" : ""}`;
    if (pictures.length) {
      yield evalsuite.el("div", { class: "pictures" }, ...pictures.map(([source, why], at) =>
        (source ? this.picture(source, `${this.media} ${at + 1} of ${pictures.length}`)
          : evalsuite.el("p", { class: "gone" }, why))));
      if (pictures.length < shown) {
        yield evalsuite.el("p", { class: "faint" }, `${pictures.length} of ${shown} ${what}`);
      }
    } else if (shown) {
      yield evalsuite.el("p", { class: "faint" }, `${shown} ${what}, not in this page`);
    }
  }

  picture(source, name) {
    const image = this.image(source, name);
    image.addEventListener("error", () => {
      image.replaceWith(evalsuite.el("p", { class: "gone" }, "the image was removed"));
    });
    return image;
  }

  image(source, alt) {
    const src = source.startsWith("file:") ? source : `../${source}`;
    return evalsuite.el("img", { src, alt, loading: "lazy", decoding: "async" });
  }

  answers(texts, row) {
    const cards = this.samples.labels.map((label, run) => {
      const [, kind, words] = this.samples.mark(run, row);
      const [text, error] = texts.answers[run] || ["", ""];
      const card = evalsuite.el("div", { class: "card" },
        evalsuite.el("h3", {}, evalsuite.el("bdi", {}, evalsuite.visible(label)),
          this.badge(run, row),
          evalsuite.el("span", { class: `word ${kind}`, "aria-hidden": "true" }, words)));
      if (text) {
        card.append(evalsuite.el("p", { class: "text", dir: "auto" }, evalsuite.visible(text)));
      }
      for (const note of this.notes(run, row, error)) {
        card.append(evalsuite.el("p", { class: "note" }, note));
      }
      return card;
    });
    return evalsuite.el("div", { class: "answers" }, ...cards);
  }

  *notes(run, row, error) {
    const has = (flag) => this.samples.has(run, row, flag);
    if (has(FLAG.failed)) yield `no prediction: ${evalsuite.visible(error) || "no reason given"}`;
    if (has(FLAG.empty)) yield "the prediction is empty";
    if (has(FLAG.truncated)) yield "truncated at the token limit";
    if (has(FLAG.unparsed)) yield "no answer was found in the prediction";
    if (has(FLAG.unscored)) yield "not part of the score";
  }

  facts(texts, row) {
    const pairs = this.samples.index.facets.map(({ name, values, codes }) =>
      [name, values[codes[row]]]);
    if (texts.digest) pairs.push(["prompt", texts.digest]);
    return evalsuite.el("dl", { class: "facts" }, ...pairs.map(([name, text]) =>
      evalsuite.el("div", {}, evalsuite.el("dt", {}, evalsuite.visible(name)),
        evalsuite.el("dd", { dir: "auto" }, evalsuite.visible(text)))));
  }
}
