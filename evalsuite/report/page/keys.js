"use strict";
/* The keyboard. */

class Keys {
  /* `browser` has `at`, `opened`, `page` and `size`, and `move`, `enter` and `close`. */
  constructor(browser, { list, detail, search, help }) {
    Object.assign(this, { browser, list, detail, search, help });
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (field) this.focusList();
      else this.browser.close();
      return;
    }
    if (field) {
      // From the search to its first result.
      if (field === this.search && (event.key === "Enter" || event.key === "ArrowDown")) {
        event.preventDefault();
        this.focusList();
        if (this.browser.at < 0) this.browser.move(0);
      }
      return;
    }
    const act = this.action(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  focusList() {
    this.list.focus({ preventScroll: true });
  }

  action({ key, target }) {
    const { browser } = this;
    const { at } = browser;
    const open = browser.opened >= 0;
    const next = () => browser.move(at + 1);
    const back = () => browser.move(at < 0 ? 0 : at - 1);
    switch (key) {
      case "j": return next;
      case "k": return back;
      case "ArrowRight": return open ? next : null;
      case "ArrowLeft": return open ? back : null;
      case "/": return () => this.search.focus();
      case "?": return () => this.help.showModal();
      default:
    }
    if (this.detail.contains(target)) return null; // there the other keys scroll
    switch (key) {
      case "ArrowDown": return next;
      case "ArrowUp": return back;
      case "Home": return () => browser.move(0);
      case "End": return () => browser.move(browser.size - 1);
      case "PageDown": return () => browser.move(at + browser.page);
      case "PageUp": return () => browser.move(at - browser.page);
      case "Enter": return target.closest("button, a") ? null : () => browser.enter();
      default: return null;
    }
  }
}
