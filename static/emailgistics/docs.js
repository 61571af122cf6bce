// Samples of the guide are copied at a click. Without a script they are there to be selected.
"use strict";

// navigator.clipboard exists on https and localhost only; installations on plain http need the old way
async function copy(code) {
  const text = code.textContent;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

function addButton(sample) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const isDone = await copy(sample.querySelector("code"));
    button.textContent = isDone ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  sample.append(button);
}

for (const sample of document.querySelectorAll(".sample")) addButton(sample);
