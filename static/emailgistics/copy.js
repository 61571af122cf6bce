// Texts with a button beside them (console/_copied.html) are copied at a click. Parts of a page that come later have
// theirs as well.
"use strict";

const SHOWN_FOR_MS = 2000;

// navigator.clipboard exists on https and localhost only; installations on plain http need the old way
async function isCopied(button) {
  const text = button.dataset.copies;
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // refused by the browser: the old way may do
    }
  }
  getSelection().selectAllChildren(button.previousElementSibling);
  return document.execCommand("copy");
}

async function copy(button) {
  const before = button.textContent;
  button.textContent = (await isCopied(button)) ? button.dataset.done : button.dataset.failed;
  setTimeout(() => (button.textContent = before), SHOWN_FOR_MS);
}

function show(root) {
  for (const button of root.querySelectorAll("[data-copies][hidden]")) button.hidden = false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (button && button.textContent !== button.dataset.done) copy(button);
});
document.addEventListener("part:changed", (event) => show(event.target));
show(document);
