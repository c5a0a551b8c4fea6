"use strict";
/* The address of the page: which samples are shown and which one is open. */

class Address {
  static DELAY_MS = 150; // browsers refuse an address that changes too often

  constructor(filter, ids) {
    this.filter = filter;
    this.ids = ids;
    this.written = null;
    this.timer = 0;
  }

  /* Write the filter and the row `opened` into the address, after a pause. */
  write(opened) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.writeNow(opened), Address.DELAY_MS);
  }

  writeNow(opened) {
    const words = new URLSearchParams();
    this.filter.write(words);
    if (opened >= 0) {
      const id = this.ids[opened];
      words.set("sample", id);
      // Samples with different prompts can have the same id.
      const nth = this.ids.slice(0, opened).filter((each) => each === id).length;
      if (nth) words.set("nth", String(nth));
    }
    const hash = `#${words}`;
    if (hash === this.written) return;
    this.written = hash;
    try {
      history.replaceState(null, "", hash);
    } catch {
      location.replace(hash); // some browsers have no history for pages from disk
    }
  }

  /* Read the address into the filter. Returns the row to open (-1: none), or null if the address
     has not changed. */
  read() {
    clearTimeout(this.timer);
    if (location.hash === this.written) return null;
    this.written = location.hash || "#";
    const words = new URLSearchParams(location.hash.slice(1));
    this.filter.read(words);
    let nth = Number(words.get("nth")) || 0;
    return this.ids.findIndex((id) => id === words.get("sample") && nth-- === 0);
  }
}
