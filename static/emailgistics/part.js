// Forms that change a part of the page ([data-part]) without a reload: the answer to [data-part-form] is that part, as it
// is now. Without a script the same form brings the whole page. A part with data-part-url and data-refresh-s is looked at
// again by itself, until it says 0.
"use strict";

const SLOWEST_S = 30; // while nothing answers
const FRAGMENT = { "X-Fragment": "1" };
const seen = new WeakMap(); // of each part, what it was when it was last looked at

function say(part, text) {
  const said = part.querySelector("[data-part-said]");
  if (said) said.textContent = text;
}

// tokens of forms are other ones each time
const withoutTokens = (html) => html.replace(/<input type="hidden" name="csrfmiddlewaretoken"[^>]*>/g, "");

// what has the focus keeps it, and what somebody opened stays open
function put(part, html) {
  const focused = part.contains(document.activeElement) ? document.activeElement.closest("[id], form") : null;
  const key = focused?.id ? `#${CSS.escape(focused.id)}` : focused?.getAttribute("action");
  const opened = new Set([...part.querySelectorAll("details[open][id]")].map((details) => details.id));
  part.innerHTML = html;
  for (const details of part.querySelectorAll("details[id]")) details.open = details.open || opened.has(details.id);
  part.dispatchEvent(new CustomEvent("part:changed", { bubbles: true }));
  if (!key) return;
  const again = key.startsWith("#") ? part.querySelector(key) : part.querySelector(`form[action="${key}"] [type=submit]`);
  again?.focus();
}

async function send(form) {
  const part = form.closest("[data-part]");
  const buttons = form.querySelectorAll("button, [type=submit]");
  say(form, form.dataset.busy ?? "");
  const body = new FormData(form);
  buttons.forEach((button) => (button.disabled = true));
  part.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: FRAGMENT, redirect: "error" });
    const isPart = answer.headers.get("X-Fragment") === "1";
    if (!isPart) throw new Error(String(answer.status));
    buttons.forEach((button) => (button.disabled = false));
    form.querySelector("[type=submit]")?.focus();
    put(part, await answer.text());
  } catch {
    // whatever it was, the page itself says it better
    form.dataset.sent = "1";
    buttons.forEach((button) => (button.disabled = false));
    form.submit();
  } finally {
    part.removeAttribute("aria-busy");
  }
}

async function look(part) {
  const answer = await fetch(part.dataset.partUrl, { headers: FRAGMENT, redirect: "error", cache: "no-store" });
  if (!answer.ok || answer.headers.get("X-Fragment") !== "1") throw new Error(String(answer.status));
  const html = await answer.text();
  // not under somebody who is choosing text in it, or while a form of it is on its way
  const isInUse = part.hasAttribute("aria-busy") || getSelection().containsNode(part, true) && !getSelection().isCollapsed;
  if (withoutTokens(html) !== seen.get(part) && !isInUse) {
    seen.set(part, withoutTokens(html));
    put(part, html);
  }
  return Number(part.querySelector("[data-refresh-s]")?.dataset.refreshS ?? 0);
}

function again(part, seconds) {
  if (!seconds) return;
  setTimeout(async () => {
    if (document.hidden || part.hasAttribute("aria-busy")) return again(part, seconds);
    try {
      again(part, await look(part));
    } catch {
      again(part, Math.min(seconds * 2, SLOWEST_S));
    }
  }, seconds * 1000);
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-part-form]");
  if (!form || form.dataset.sent) return;
  event.preventDefault();
  send(form);
});
for (const part of document.querySelectorAll("[data-part][data-part-url]")) {
  again(part, Number(part.querySelector("[data-refresh-s]")?.dataset.refreshS ?? 0));
}
