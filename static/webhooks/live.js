// Shows by itself how something goes on: looks at the page again, as often as the page says, until the page says 0.
"use strict";

(() => {
    const SLOWEST_S = 30; // while nothing answers

    function intervalOf(page) {
        return Number(page.querySelector("[data-live]")?.dataset.refreshS ?? 0);
    }

    // what was opened stays open, and what is the same is not touched: somebody may be reading it
    function replace(selector, fresh) {
        const old = document.querySelector(selector);
        const now = fresh.querySelector(selector);
        if (!old || !now || (old.textContent === now.textContent && sameProgress(old, now))) return;
        const opened = [...old.querySelectorAll("details")].map((details) => details.open);
        now.querySelectorAll("details").forEach((details, n) => {
            details.open = opened[n] ?? details.open;
        });
        old.replaceChildren(...now.childNodes);
    }

    function sameProgress(old, now) {
        return old.querySelector("progress")?.value === now.querySelector("progress")?.value;
    }

    async function look(selectors) {
        const answer = await fetch(window.location.href, { cache: "no-store", redirect: "error" });
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        selectors.split(",").forEach((selector) => replace(selector.trim(), fresh));
        return intervalOf(fresh);
    }

    function again(selectors, seconds) {
        if (!seconds) return;
        window.setTimeout(async () => {
            if (document.hidden) return again(selectors, seconds);
            try {
                again(selectors, await look(selectors));
            } catch {
                again(selectors, Math.min(seconds * 2, SLOWEST_S));
            }
        }, seconds * 1000);
    }

    const live = document.querySelector("[data-live]");
    if (live) again(live.dataset.live, intervalOf(document));
})();
