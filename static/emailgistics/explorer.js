// What the explorer at /docs has beside Swagger UI: a filter over all that an operation says, and its scopes beside it.
"use strict";

function wordsOf(operation, tag) {
  const of = operation.get("operation");
  const scopes = of.get("x-required-scopes")?.join(" ") ?? "";
  const said = [tag, operation.get("method"), operation.get("path"), of.get("summary"), of.get("operationId"), scopes];
  return said.join(" ").toLowerCase();
}

// every word of the phrase has to be somewhere in it
function opsFilter(taggedOps, phrase) {
  const words = phrase.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (tag) => (operation) => words.every((word) => wordsOf(operation, tag).includes(word));
  return taggedOps
    .map((of, tag) => of.update("operations", (operations) => operations.filter(fits(tag))))
    .filter((of) => of.get("operations").size > 0);
}

// out of the document: what the component is given is there only once the operation was opened
const withScopes = (Original, { React, specSelectors }) => (props) => {
  const scopes = specSelectors.specJson().getIn([...props.specPath, "x-required-scopes"]);
  const badges = (scopes?.toJS() ?? []).map((scope) => React.createElement("code", { key: scope }, scope));
  const shown = React.createElement("span", { className: "needed-scopes", key: "scopes" }, badges);
  return React.createElement(React.Fragment, null, React.createElement(Original, props), shown);
};

// The document's own description is the guide in short; here people want to get at the operations.
const INTRODUCTION = `
1. Press **Authorize** and paste an API key. It stays in this page and is gone when you leave it; nothing stores it.
2. Open an operation and press **Try it out**, then **Execute**. The call is a real one, with that key.
3. The answer is shown with its headers: \`x-ratelimit-remaining\` says what is left.

What an operation needs stands beside it. How keys, errors, limits and webhooks work is told in the [guide](/docs/guide);
each operation with its fields is in the [reference](/docs/api).`;

const withIntroduction = (original) => (spec) =>
  original({ ...spec, info: { ...spec.info, description: INTRODUCTION } });

const emailgisticsExplorer = () => ({
  fn: { opsFilter },
  wrapComponents: { OperationSummaryPath: withScopes },
  statePlugins: { spec: { wrapActions: { updateJsonSpec: withIntroduction } } },
});

// its own text promises tags only
function nameFilter() {
  const field = document.querySelector(".operation-filter-input");
  if (!field) return;
  field.placeholder = "Filter: a word of the path, the name or a scope, as in “alias”, “post webhooks”, “emails:read”";
  field.setAttribute("aria-label", "Filter operations");
}

const isDark = window.matchMedia("(prefers-color-scheme: dark)");
const show = () => document.documentElement.classList.toggle("dark-mode", isDark.matches);
isDark.addEventListener("change", show);
show();
