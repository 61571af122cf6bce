"use strict";

// A second click would take the place of the answer to the first, and a secret that was in it would be lost.
document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-send-once]");
    if (!form) return;
    if (form.dataset.sent) {
        event.preventDefault();
        return;
    }
    form.dataset.sent = "yes";
    form.querySelector("button[type=submit]").setAttribute("aria-disabled", "true");
});

window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
        delete form.dataset.sent;
        form.querySelector("button[type=submit]").removeAttribute("aria-disabled");
    }
});

// Another origin is another receiver: said while it is typed, and again after.
for (const field of document.querySelectorAll("input[data-url-now]")) {
    const note = document.createElement("p");
    note.className = "bg-orange-100 text-orange-700 dark:bg-orange-500/20 dark:text-orange-400 mt-2 px-3 py-2.5 rounded-default";
    note.setAttribute("role", "status");
    note.hidden = true;
    const { otherReceiver, noReceiver } = field.form?.dataset ?? {}; // nobody types in a field without a form
    field.after(note);
    field.addEventListener("input", () => {
        note.textContent = field.value.trim() ? otherReceiver : noReceiver;
        note.hidden = origin(field.value) === origin(field.dataset.urlNow);
    });
}

function origin(url) {
    try {
        return new URL(url).origin;
    } catch {
        return null;
    }
}
