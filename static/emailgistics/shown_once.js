// Secrets that a page shows once (partials/_shown_once.html): copied at a click, and gone when the page is left.
"use strict";

const panels = () => document.querySelectorAll("[data-shown-once]");
const fieldOf = (panel) => panel.querySelector("[data-secret]");

function say(panel, text) {
  panel.querySelector("[data-said]").textContent = text;
}

function select(field) {
  field.focus();
  field.setSelectionRange(0, field.value.length);
}

// who copied it in any of the forms that are shown has it
function taken(text) {
  for (const panel of document.querySelectorAll("[data-shown-once][data-ask-before-leaving]")) {
    if (text.includes(fieldOf(panel).value)) panel.removeAttribute("data-ask-before-leaving");
  }
}

// navigator.clipboard exists on https and localhost only; installations on plain http need the old way
async function copied(field) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(field.value);
      return true;
    } catch {
      // refused by the browser: the old way may do
    }
  }
  select(field);
  return document.execCommand("copy");
}

async function copy(panel, button) {
  const field = fieldOf(panel);
  if (!field.value) return;
  if (await copied(field)) {
    button.focus();
    taken(field.value);
    say(panel, panel.dataset.saidCopied);
  } else {
    select(field);
    say(panel, panel.dataset.saidSelected);
  }
}

// copied by hand is copied, too
function onCopyByHand(event) {
  const panel = event.target.closest?.("[data-shown-once]");
  if (!panel) return;
  const field = fieldOf(panel);
  if (field.selectionEnd - field.selectionStart === field.value.length) taken(field.value);
}

// browsers keep whole pages for the way back
function clear() {
  for (const panel of panels()) {
    const field = fieldOf(panel);
    field.value = "";
    field.removeAttribute("value");
    field.textContent = "";
    panel.removeAttribute("data-ask-before-leaving");
    panel.querySelector("[data-copy]").disabled = true;
    say(panel, panel.dataset.saidGone);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-shown-once] [data-copy]");
  if (button) copy(button.closest("[data-shown-once]"), button);
});
document.addEventListener("copy", onCopyByHand);
window.addEventListener("pagehide", clear);
window.addEventListener("beforeunload", (event) => {
  if (document.querySelector("[data-shown-once][data-ask-before-leaving]")) event.preventDefault();
});
for (const panel of panels()) panel.querySelector("[data-copy]").hidden = false;
