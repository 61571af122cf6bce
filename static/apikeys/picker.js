// Choosing mailboxes: a search over all of them, a page of boxes, and the chosen ones, however many there are.
"use strict";

const SHOWN_CHIPS = 12;
const ASK_AFTER_MS = 150;

// texts come from the page, in its language, with names in braces where something is to be put in
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

export function preparePicker(picker, url) {
  const rows = picker.querySelector("[data-rows]");
  const further = picker.querySelector("textarea");
  const search = picker.querySelector("[data-search]");
  const all = picker.querySelector("[data-select-all]");
  const found = picker.querySelector("[data-found]");
  const texts = picker.dataset;
  const most = Number(texts.most);
  const boxes = () => [...rows.querySelectorAll("input")];
  const listeners = [];
  const chosen = new Set([
    ...boxes().filter((box) => box.checked).map((box) => box.value),
    ...further.value.split("\n").map((line) => line.trim()).filter(Boolean),
  ]);

  // from here on all are sent in one field, on the page or not
  further.closest("[data-further]").hidden = true;
  for (const tool of picker.querySelectorAll("[data-picker-tools]")) tool.hidden = false;

  function changed() {
    further.value = [...chosen].join("\n");
    for (const box of boxes()) box.checked = chosen.has(box.value);
    showChips();
    for (const listener of listeners) listener();
  }

  function showChips() {
    const chips = [...chosen].slice(0, SHOWN_CHIPS).map((address) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "ak-small";
      chip.textContent = `${address} ×`;
      chip.setAttribute("aria-label", fill(texts.remove, { address }));
      chip.dataset.address = address;
      return chip;
    });
    const more = document.createElement("span");
    more.className = "ak-hint";
    const count = chosen.size === 1 ? texts.chosenOne : fill(texts.chosenMany, { n: chosen.size });
    more.textContent = chosen.size > SHOWN_CHIPS ? fill(texts.chosenMore, { n: chosen.size - SHOWN_CHIPS, chosen: count }) : count;
    picker.querySelector("[data-chips]").replaceChildren(...(chosen.size ? [...chips, more] : []));
    picker.querySelector("[data-clear]").disabled = !chosen.size;
  }

  function row({ address, name }) {
    const label = document.createElement("label");
    label.className = "ak-choice ak-line";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = address;
    box.checked = chosen.has(address);
    const words = document.createElement("span");
    words.className = "ak-address";
    words.textContent = address;
    label.append(box, words);
    if (name) {
      const hint = document.createElement("span");
      hint.className = "ak-hint";
      hint.textContent = name;
      label.append(hint);
    }
    return label;
  }

  async function ask(which = {}) {
    const query = new URLSearchParams({ q: search.value, ...which });
    const answer = await fetch(`${url}?${query}`);
    if (!answer.ok || answer.redirected) throw new Error("not answered");
    return answer.json();
  }

  let asked = 0;
  async function showFound() {
    const mine = ++asked;
    try {
      const told = await ask();
      if (mine !== asked) return;
      rows.replaceChildren(...told.mailboxes.map(row));
      tellFound(told.mailboxes.length, told.count);
    } catch {
      if (mine === asked) found.textContent = texts.noSearch;
    }
  }

  function tellFound(shown, count) {
    const isSearch = Boolean(search.value.trim());
    found.textContent = count > shown ? fill(isSearch ? texts.someFound : texts.someShown, { all: count, n: shown }) : "";
    if (!count) found.textContent = texts.noneFound;
    all.textContent = fill(isSearch ? texts.allFound : texts.allToday, { all: count });
    all.disabled = !count || count > most;
  }

  async function selectAll() {
    try {
      const told = await ask({ whole: "1" });
      for (const { address } of told.mailboxes) chosen.add(address);
      changed();
    } catch {
      found.textContent = texts.noList;
    }
  }

  // those of the domains that are for tests, and no others; whether there are any
  async function chooseTests() {
    const told = await ask({ q: "", whole: "1", for_tests: "1" });
    chosen.clear();
    for (const { address } of told.mailboxes) chosen.add(address);
    changed();
    return told.count > 0;
  }

  let timer = null;
  search.addEventListener("input", (event) => {
    event.stopPropagation();
    clearTimeout(timer);
    timer = setTimeout(showFound, ASK_AFTER_MS);
  });
  // Enter searches; it must not send the form
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    clearTimeout(timer);
    showFound();
  });
  rows.addEventListener("change", (event) => {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
    changed();
  });
  picker.querySelector("[data-chips]").addEventListener("click", (event) => {
    const chip = event.target.closest("[data-address]");
    if (!chip) return;
    chosen.delete(chip.dataset.address);
    changed();
    search.focus();
  });
  picker.querySelector("[data-clear]").addEventListener("click", () => {
    chosen.clear();
    changed();
    search.focus();
  });
  all.addEventListener("click", selectAll);

  for (const box of boxes()) box.removeAttribute("name");
  tellFound(boxes().length, Number(texts.count));
  changed();
  return {
    count: () => chosen.size,
    chooseTests,
    onChange: (listener) => listeners.push(listener),
  };
}
