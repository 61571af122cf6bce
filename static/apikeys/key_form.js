// The form of a new key: lifetimes, scopes and presets, the sentence that says what the key will be able to do.
"use strict";

import { preparePicker } from "./picker.js";

const ASK_AFTER_MS = 120;

export function prepareKeyForm(form) {
  const picker = preparePicker(form.querySelector("[data-picker]"), form.dataset.mailboxes);
  const preview = previewOf(form, picker);
  prepareExpiry(form);
  prepareReach(form);
  prepareScopes(form, preview);
  sendOnce(form);
  form.addEventListener("input", preview);
  picker.onChange(preview);
  preview();
}

// what it says is worked out by the server: its clock, its time zone, its words
function previewOf(form, picker) {
  let timer = null;
  let latest = null;
  async function ask() {
    latest?.abort();
    latest = new AbortController();
    const query = new URLSearchParams({ count: picker.count() });
    for (const [name, value] of new FormData(form)) {
      if (["expiry", "expires_on", "reach", "scopes"].includes(name)) query.append(name, value);
    }
    try {
      const answer = await fetch(`${form.dataset.preview}?${query}`, { signal: latest.signal });
      if (!answer.ok || answer.redirected) return;
      const told = await answer.json();
      form.querySelector("[data-ends]").textContent = told.ends;
      form.querySelector("[data-sentence]").textContent = told.sentence;
    } catch (error) {
      // the next change asks again; sending the form needs none of it
      if (error.name !== "AbortError") form.querySelector("[data-sentence]").textContent = "";
    }
  }
  return () => {
    clearTimeout(timer);
    timer = setTimeout(ask, ASK_AFTER_MS);
  };
}

function prepareExpiry(form) {
  const date = form.querySelector("[data-expires-on]");
  const onDate = form.querySelector("[data-on-date]");
  const show = () => {
    date.hidden = !onDate.checked;
  };
  form.addEventListener("change", (event) => {
    if (event.target.name !== "expiry") return;
    show();
    if (onDate.checked && !date.value) date.value = date.max < ninety(date) ? date.max : ninety(date);
  });
  show();
}

// a date to start from
function ninety(date) {
  const day = new Date(`${date.min}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + 89);
  return day.toISOString().slice(0, 10);
}

function prepareReach(form) {
  const show = () => {
    const isList = form.querySelector("[name=reach]:checked")?.value !== "all";
    form.querySelector("[data-picker]").hidden = !isList;
    form.querySelector("[data-for-list]").hidden = !isList;
  };
  form.addEventListener("change", show);
  show();
}

function prepareScopes(form, preview) {
  const boxes = [...form.querySelectorAll("[name=scopes]")];
  const buttons = [...form.querySelectorAll("[data-scopes]")];
  const namesOf = (button) => button.dataset.scopes.trim().split(" ");
  const show = () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value).sort().join();
    const matching = buttons.filter((button) => namesOf(button).sort().join() === chosen);
    // two presets may be the same scopes: the one that was pressed is meant
    const pressed = matching.find((button) => button.dataset.pressed) ?? matching[0];
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
    form.querySelector("[data-preset-hint]").textContent = pressed?.title ?? "";
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const names = namesOf(button);
      for (const other of buttons) delete other.dataset.pressed;
      button.dataset.pressed = "1";
      for (const box of boxes) box.checked = names.includes(box.value);
      show();
      preview();
    });
  }
  form.addEventListener("change", (event) => {
    const box = event.target;
    if (box.name !== "scopes") return;
    const [resource, action] = box.value.split(":");
    const other = (name) => boxes.find((one) => one.value === `${resource}:${name}`);
    // write includes read
    if (action === "write" && box.checked && other("read")) other("read").checked = true;
    if (action === "read" && !box.checked && other("write")) other("write").checked = false;
    show();
  });
  form.querySelector("[data-presets]").hidden = false;
  show();
}

// of a double click the first counts: its answer shows the key
function sendOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    const button = form.querySelector("[data-generate]");
    button.disabled = true;
    button.textContent = "Generating…";
  });
}
