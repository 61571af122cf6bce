/* What unfold does for the mouse only, for keyboards and screen readers as well (WCAG 2.1.1, 4.1.2). */
"use strict";

(() => {
  const NATIVE = "a[href], button, input, select, textarea, summary";
  // what has a picture for its name
  const NAMES = {
    dock_to_right: "Show or hide the menu",
    close: "Close the menu",
    search: "Search",
    more_vert: "More",
    add: "Add",
  };

  function nameOf(element) {
    if (element.getAttribute("aria-label") || element.title) return null;
    const symbols = [...element.querySelectorAll(".material-symbols-outlined")];
    if (element.matches(".material-symbols-outlined")) symbols.push(element);
    const told = symbols.map((symbol) => symbol.textContent.trim());
    const rest = told.reduce((text, symbol) => text.replace(symbol, ""), element.textContent).trim();
    return rest || !told.length ? null : (NAMES[told[0]] ?? told[0].replaceAll("_", " "));
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
    document.getElementById("main")?.setAttribute("role", "main");
    document.querySelector("#nav-sidebar-inner")?.setAttribute("aria-label", "Console");
    document.querySelector("#nav-sidebar-inner a.active")?.setAttribute("aria-current", "page");
    document.getElementById("searchbar")?.setAttribute("aria-label", "Search this list");
    const content = document.getElementById("content");
    if (!content) return;
    content.tabIndex = -1;
    const skip = document.createElement("a");
    skip.href = "#content";
    skip.className = "skip-link";
    skip.textContent = "Skip to the content";
    document.body.prepend(skip);
  }

  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("[data-reachable]")) {
      event.preventDefault();
      event.target.click();
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    landmarks();
    makeReachable(document);
  });
})();
