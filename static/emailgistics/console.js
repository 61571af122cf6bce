/* What unfold does for the mouse only, for keyboards and screen readers as well (WCAG 2.1.1, 4.1.2). */
"use strict";

(() => {
  const NATIVE = "a[href], button, input, select, textarea, summary";
  // what is said to people, in their language: console/_words.html, which comes after this script
  const words = () => document.querySelector("meta[name=console-words]")?.dataset ?? {};
  // what has a picture for its name, and which of the words is its name then
  const NAMES = {
    dock_to_right: "sayToggleMenu",
    close: "sayCloseMenu",
    search: "saySearch",
    more_vert: "sayMore",
    add: "sayAdd",
  };

  function nameOf(element) {
    if (element.getAttribute("aria-label") || element.title) return null;
    const symbols = [...element.querySelectorAll(".material-symbols-outlined")];
    if (element.matches(".material-symbols-outlined")) symbols.push(element);
    const told = symbols.map((symbol) => symbol.textContent.trim());
    const rest = told.reduce((text, symbol) => text.replace(symbol, ""), element.textContent).trim();
    return rest || !told.length ? null : (words()[NAMES[told[0]]] ?? told[0].replaceAll("_", " "));
  }

  function makeReachable(root) {
    for (const element of root.querySelectorAll("*")) {
      const clicks = [...element.attributes].some(({ name }) => name === "x-on:click" || name === "@click");
      if (clicks && !element.matches(NATIVE) && !element.id.endsWith("-close")) {
        element.setAttribute("role", "button");
        element.tabIndex = 0;
        element.dataset.reachable = "";
      }
      if (element.matches("a, button, [role=button]")) {
        const name = nameOf(element);
        if (name) element.setAttribute("aria-label", name);
      }
      // the font's symbols are words: a screen reader would say them
      if (element.matches(".material-symbols-outlined:not([role=button])")) element.setAttribute("aria-hidden", "true");
    }
  }

  function landmarks() {
    const { sayConsole, saySearchList, saySkip } = words();
    document.getElementById("main")?.setAttribute("role", "main");
    document.querySelector("#nav-sidebar-inner")?.setAttribute("aria-label", sayConsole);
    document.querySelector("#nav-sidebar-inner a.active")?.setAttribute("aria-current", "page");
    document.getElementById("searchbar")?.setAttribute("aria-label", saySearchList);
    const content = document.getElementById("content");
    if (!content) return;
    content.tabIndex = -1;
    const skip = document.createElement("a");
    skip.href = "#content";
    skip.className = "skip-link";
    skip.textContent = saySkip;
    document.body.prepend(skip);
  }

  // before SimpleBar makes regions of them, all of one name
  function nameWhatScrolls() {
    const { sayPages, sayFilters, sayTable, sayPart } = words();
    const names = { "nav-sidebar-apps": sayPages };
    for (const [n, element] of document.querySelectorAll("[data-simplebar]").entries()) {
      const name = names[element.id] ?? (element.closest("#changelist-filter") ? sayFilters : null);
      element.setAttribute("data-simplebar-aria-label", name ?? (element.querySelector("table") ? sayTable : sayPart?.replace("{n}", n) ?? ""));
    }
  }

  // what Select2 shows in place of a field has the field's label for its name
  function nameChoices() {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
      const box = select.nextElementSibling?.querySelector("[role=combobox]");
      const text = box?.querySelector("[role=textbox]");
      const label = select.labels[0];
      if (!box || !label) continue;
      label.id ||= `${select.id}-label`;
      box.setAttribute("aria-labelledby", `${label.id} ${text?.id ?? ""}`.trim());
      text?.removeAttribute("role");
      text?.removeAttribute("aria-readonly");
    }
  }

  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("[data-reachable]")) {
      event.preventDefault();
      event.target.click();
    }
  });

  // in which time zone pages show dates to whoever has chosen none; said once, and again when it has changed
  function tellTimeZone() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const told = `emailgistics_time_zone=${encodeURIComponent(zone ?? "")}`;
    if (!zone || document.cookie.split("; ").includes(told)) return;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${told}; Path=/admin/; Max-Age=34560000; SameSite=Lax${secure}`;
  }

  tellTimeZone();

  // "/" leads to the box that finds anything, unless somebody is writing
  document.addEventListener("keydown", (event) => {
    const box = document.getElementById("search-anything");
    const isWriting = event.target.isContentEditable || event.target.matches("input, select, textarea");
    if (!box || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isWriting) return;
    event.preventDefault();
    event.stopPropagation(); // unfold listens on the window, for the box of a list
    box.focus();
    box.select();
  });

  // jQuery runs what waits for the page in the order in which it was told to: this is after Select2
  window.addEventListener("load", () => window.django?.jQuery?.(nameChoices));
  document.addEventListener("DOMContentLoaded", () => {
    nameWhatScrolls();
    landmarks();
    makeReachable(document);
  });
})();
