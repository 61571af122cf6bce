// The form of a new key: lifetimes, scopes and presets, the sentence that says what the key will be able to do.
"use strict";

import { fill, preparePicker } from "./picker.js";

const ASK_AFTER_MS = 120;

export function prepareKeyForm(form) {
  const picker = preparePicker(form.querySelector("[data-picker]"), form.dataset.mailboxes);
  const preview = previewOf(form, picker);
  prepareExpiry(form);
  prepareReach(form);
  prepareScopes(form);
  preparePresets(form, picker, preview);
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
      if (["expiry", "expires_on", "reach", "scopes", "networks"].includes(name)) query.append(name, value);
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

function prepareScopes(form) {
  const boxes = [...form.querySelectorAll("[name=scopes]")];
  form.addEventListener("change", (event) => {
    const box = event.target;
    if (box.name !== "scopes") return;
    const [resource, action] = box.value.split(":");
    const other = (name) => boxes.find((one) => one.value === `${resource}:${name}`);
    // write includes read
    if (action === "write" && box.checked && other("read")) other("read").checked = true;
    if (action === "read" && !box.checked && other("write")) other("write").checked = false;
  });
}

// a preset fills in the form once; it stays pressed for as long as its scopes do
function preparePresets(form, picker, preview) {
  const field = form.querySelector("[name=preset]");
  if (!field) return;
  const boxes = [...form.querySelectorAll("[name=scopes]")];
  const buttons = [...form.querySelectorAll("[data-presets] button")];
  const namesOf = (button) => button.dataset.scopes.trim().split(" ");
  const isAlone = (button) => !("days" in button.dataset || "needsNetworks" in button.dataset);
  const isMatching = (button) => namesOf(button).sort().join() === boxes.filter((box) => box.checked).map((box) => box.value).sort().join();

  function show(hint) {
    const taken = buttons.find((button) => button.value === field.value && isMatching(button));
    // two presets may be the same scopes: the one that was pressed is meant
    const pressed = taken ?? buttons.find((button) => isAlone(button) && isMatching(button));
    field.value = pressed?.value ?? "";
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
    form.querySelector("[data-preset-hint]").textContent = hint ?? pressed?.title ?? "";
    const need = form.querySelector("[data-networks-need]");
    need.textContent = pressed && "needsNetworks" in pressed.dataset ? need.dataset.required : need.dataset.optional;
  }

  async function take(button) {
    field.value = button.value;
    for (const box of boxes) box.checked = namesOf(button).includes(box.value);
    const lifetime = button.dataset.days && form.querySelector(`[name=expiry][value="${button.dataset.days}"]`);
    if (lifetime) lifetime.click();
    show();
    if ("forTests" in button.dataset) show(await chooseTests(button));
    preview();
  }

  async function chooseTests(button) {
    form.querySelector("[name=reach][value=chosen]").click();
    try {
      return (await picker.chooseTests()) ? button.title : fill(form.dataset.noTests, { hint: button.title });
    } catch {
      return form.dataset.noList;
    }
  }

  for (const button of buttons) {
    button.type = "button";
    button.addEventListener("click", () => take(button));
  }
  form.addEventListener("change", (event) => {
    if (event.target.name === "scopes") show();
  });
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
    button.textContent = form.dataset.wait;
  });
}
