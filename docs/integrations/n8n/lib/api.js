// Requests of the nodes. `context` is the `this` that n8n gives a node.
"use strict";

const { NodeApiError } = require("n8n-workflow");

const CREDENTIALS = "emailgisticsApi";
const PAGE = 100; // the most that one answer holds
const MAX_OPTIONS = 1000; // in a dropdown; beyond, an id is typed in

// { status, headers, body } of an answer that is no error. query: values may be arrays, undefined and "" are left out.
// asBuffer: the body comes as a Buffer. Throws NodeApiError with what the API says for people.
async function call(context, method, path, { query = {}, body, headers = {}, asBuffer = false } = {}) {
  const { baseUrl } = await context.getCredentials(CREDENTIALS);
  const options = {
    method,
    url: baseUrl.replace(/\/+$/, "") + path + queryString(query),
    headers,
    returnFullResponse: true,
    ignoreHttpStatusErrors: true, // what the API says is better than what n8n would make of it
  };
  if (asBuffer) {
    options.encoding = "arraybuffer";
  }
  if (!headers["Content-Type"]) {
    options.json = !asBuffer;
  }
  if (body !== undefined) {
    options.body = body;
  }
  const answer = await context.helpers.httpRequestWithAuthentication.call(context, CREDENTIALS, options);
  if (answer.statusCode >= 400) {
    throw refusal(context, answer);
  }
  return { status: answer.statusCode, headers: answer.headers, body: answer.body };
}

// Every row of a list, page after page, or at most `max` of them.
async function all(context, path, { query = {}, max = Infinity } = {}) {
  const rows = [];
  let after;
  do {
    const limit = Math.min(PAGE, max - rows.length);
    const { body } = await call(context, "GET", path, { query: { ...query, limit, starting_after: after } });
    rows.push(...body.data);
    after = body.pagination.has_more ? body.data.at(-1)?.id : undefined;
  } while (after && rows.length < max);
  return rows;
}

// The choices of a dropdown.
async function options(context, path, label) {
  const rows = await all(context, path, { max: MAX_OPTIONS });
  return rows.map((row) => ({ name: label(row), value: row.id }));
}

const loadOptions = {
  async getDomains() {
    return options(this, "/v1/domains", (domain) => domain.name);
  },
  async getMailboxes() {
    return options(this, "/v1/mailboxes", (mailbox) => mailbox.address);
  },
  async getAliases() {
    return options(this, "/v1/aliases", (alias) => alias.address);
  },
};

function refusal(context, { statusCode, headers, body }) {
  const problem = problemOf(body);
  const after = headers?.["retry-after"];
  const hints = [
    ...(problem.errors ?? []).map((error) => `${error.pointer}: ${error.detail}`),
    problem.required_scopes && `The key needs: ${problem.required_scopes.join(", ")}`,
    after && `Come again in ${after} s`,
    problem.code,
  ];
  return new NodeApiError(context.getNode(), problem, {
    message: problem.message ?? `The API answered ${statusCode}`,
    description: hints.filter(Boolean).join(". "),
    httpCode: String(statusCode),
  });
}

function problemOf(body) {
  if (Buffer.isBuffer(body) || body instanceof ArrayBuffer || typeof body === "string") {
    try {
      return JSON.parse(Buffer.from(body).toString("utf8"));
    } catch {
      return {};
    }
  }
  return body ?? {};
}

function queryString(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "") {
        given.append(name, String(one));
      }
    }
  }
  return given.size ? `?${given}` : "";
}

module.exports = { call, all, loadOptions };
