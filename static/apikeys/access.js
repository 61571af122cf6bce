// The API Access page: the dialog of a new key, the dialog that shows it once, and the search box.
"use strict";

import "../emailgistics/shown_once.js"; // first: it shows the button that gets the focus
import { prepareKeyForm } from "./key_form.js";

const WHOLE_KEY = /(emgk_[0-9A-Za-z]{10})_\w*/g;

// what is searched for ends up in an address, which browsers and servers remember: a pasted key is cut down to its
// identifier, and never sent
function cutKeysInSearch() {
  const field = document.querySelector("#changelist-search input[name=q]");
  if (!field) return;
  const cut = () => {
    const cleaned = field.value.replace(WHOLE_KEY, "$1");
    if (cleaned === field.value) return;
    field.value = cleaned;
    const said = field.form.querySelector("[data-cut]");
    said.textContent = said.dataset.cut;
    if (field.form.querySelector("[name=cut]")) return;
    const flag = document.createElement("input");
    Object.assign(flag, { type: "hidden", name: "cut", value: "1" });
    field.form.append(flag);
  };
  field.addEventListener("input", cut);
  field.form.addEventListener("submit", cut, { capture: true });
}

// the page of the link is the dialog, too; whatever goes wrong, the link leads there
async function openKeyForm(link) {
  const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const form = answer.ok && !answer.redirected && page.querySelector("[data-key-form]");
  if (!form) throw new Error("no form there");
  const dialog = document.createElement("dialog");
  dialog.className = "ak-dialog";
  dialog.setAttribute("aria-labelledby", "ak-form-title");
  dialog.append(document.adoptNode(form));
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  form.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  prepareKeyForm(form);
  dialog.showModal();
}

function addKeyOpensDialog() {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-add-key]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.dataset.opening) return;
    link.dataset.opening = "1";
    try {
      await openKeyForm(link);
    } catch {
      location.assign(link.href);
    } finally {
      delete link.dataset.opening;
    }
  });
}

function showKeyInDialog() {
  const dialog = document.querySelector("[data-made]");
  if (!dialog) return;
  dialog.close();
  dialog.showModal();
  dialog.querySelector("[data-copy]").focus();
  // Escape must not make an uncopied key unreachable; leaving asks first
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    dialog.querySelector("[data-done]").click();
  });
}

// a time that somebody gives is meant
function timeIsChosen() {
  const field = document.querySelector("[data-at]");
  field?.addEventListener("input", () => {
    if (field.value) field.form.querySelector("[name=when][value=at]").checked = true;
  });
}

// a page that the browser kept has a form that may be spent; a fresh one has not
window.addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("[data-key-form]")) location.reload();
});

cutKeysInSearch();
addKeyOpensDialog();
showKeyInDialog();
timeIsChosen();
for (const form of document.querySelectorAll("[data-key-form]")) {
  prepareKeyForm(form);
  form.querySelector("[data-form-errors]")?.focus();
}
