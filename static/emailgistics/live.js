// Shows by itself how something goes on: looks again, as often as the page says, until the page says 0.
//
// data-live names the parts that are put in the place of those before; data-live-url is what is asked, without one the
// page itself. While the tab is hidden nothing is asked. What does not answer is asked again, less often; who is signed
// out, or may not see it any more, is told so, and nothing is asked again.
"use strict";

(() => {
    const SLOWEST_S = 30; // while nothing answers
    const FOCUSABLE = "a[href], button, summary, input, select, textarea, [tabindex]";

    class StoppedError extends Error {}

    const live = document.querySelector("[data-live]");
    const words = document.querySelector("meta[name=console-words]")?.dataset ?? {};
    let timer = 0;
    let seconds = 0;
    let isDue = false; // its time came while the tab was hidden

    // what was opened stays open, what has the focus keeps it, and what is the same is not touched: somebody may be
    // reading it, or copying a part
    function replace(selector, fresh) {
        const old = document.querySelector(selector);
        const now = fresh.querySelector(selector);
        if (!old || !now || isSame(old, now) || isSelected(old)) return;
        const opened = [...old.querySelectorAll("details")].map((details) => details.open);
        const scrolled = [...old.querySelectorAll("[tabindex]")].map((box) => [box.scrollLeft, box.scrollTop]);
        const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
        now.querySelectorAll("details").forEach((details, n) => {
            details.open = opened[n] ?? details.open;
        });
        old.replaceChildren(...now.childNodes);
        old.querySelectorAll("[tabindex]").forEach((box, n) => {
            if (scrolled[n]) [box.scrollLeft, box.scrollTop] = scrolled[n];
        });
        if (focused >= 0) old.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
    }

    function isSame(old, now) {
        const links = (root) => [...root.querySelectorAll("a[href]")].map((link) => link.getAttribute("href")).join();
        const done = (root) => root.querySelector("progress")?.value;
        return old.textContent === now.textContent && done(old) === done(now) && links(old) === links(now);
    }

    function isSelected(root) {
        const selection = document.getSelection();
        return !selection.isCollapsed && root.contains(selection.anchorNode);
    }

    function tell(text) {
        const hint = document.getElementById("live-hint") ?? document.createElement("p");
        hint.id = "live-hint";
        hint.className = "live-hint";
        hint.setAttribute("role", "status");
        if (!hint.isConnected) live.before(hint);
        if (hint.textContent !== text) hint.textContent = text;
        hint.hidden = !text;
    }

    async function look() {
        const url = live.dataset.liveUrl ?? window.location.href;
        const answer = await fetch(url, { cache: "no-store", redirect: "manual" });
        if (answer.type === "opaqueredirect" || (answer.status >= 400 && answer.status < 500)) throw new StoppedError();
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        live.dataset.live.split(",").forEach((selector) => replace(selector.trim(), fresh));
        return Number(fresh.querySelector("[data-live]")?.dataset.refreshS ?? 0);
    }

    async function refresh() {
        isDue = document.hidden;
        if (isDue) return;
        try {
            seconds = await look();
            if (document.getElementById("live-hint")) tell("");
        } catch (error) {
            const isOver = error instanceof StoppedError;
            seconds = isOver ? 0 : Math.min(seconds * 2, SLOWEST_S);
            tell((isOver ? words.sayStopped : words.sayNoAnswer) ?? "");
        }
        plan();
    }

    function plan() {
        window.clearTimeout(timer);
        if (seconds) timer = window.setTimeout(refresh, seconds * 1000);
    }

    document.addEventListener("visibilitychange", () => {
        if (isDue && !document.hidden) refresh();
    });

    if (live) {
        seconds = Number(live.dataset.refreshS ?? 0);
        plan();
    }
})();
