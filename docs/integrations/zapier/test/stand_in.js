// What Zapier gives a function: z and bundle, as far as they are used here.
"use strict";

const app = require("../index.js");

class ZapierError extends Error {}
// zapier-platform-core puts what it is told into the message, as JSON
const told = (name, fields) =>
  class extends ZapierError {
    constructor(...values) {
      super(fields ? JSON.stringify(Object.fromEntries(fields.map((field, at) => [field, values[at]]))) : values[0]);
      this.name = name;
    }
  };
const errors = {
  Error: told("AppError", ["message", "code", "status"]),
  ThrottledError: told("ThrottledError", ["message", "delay"]),
  ExpiredAuthError: told("ExpiredAuthError"),
  HaltedError: told("HaltedError"),
};

function makeZ({ fetch = globalThis.fetch } = {}) {
  const cache = new Map();
  let cursor = "";
  const z = { errors, console: { log() {} } };
  z.cache = {
    async set(key, value, ttl, scope, nx) {
      if (nx && cache.has(key)) return false;
      cache.set(key, value);
      return true;
    },
  };
  z.cursor = {
    get: async () => cursor,
    set: async (value) => {
      cursor = value;
    },
  };
  z.requestWith = async (bundle, { method = "GET", url, params = {}, headers = {}, body }) => {
    const query = new URLSearchParams(params).toString();
    let request = { method, url: query ? `${url}?${query}` : url, headers: { ...headers } };
    if (body !== undefined) {
      request.body = typeof body === "string" ? body : JSON.stringify(body);
      request.headers["Content-Type"] ??= "application/json";
    }
    for (const before of app.beforeRequest) request = before(request, z, bundle);
    const answer = await fetch(request.url, request);
    const content = await answer.text();
    let response = { status: answer.status, content, getHeader: (name) => answer.headers.get(name) };
    for (const after of app.afterResponse) response = after(response, z, bundle);
    return { ...response, data: content ? JSON.parse(content) : undefined };
  };
  return z;
}

// z for one bundle, as Zapier binds them.
function bound(bundle, options) {
  const z = makeZ(options);
  z.request = (request) => z.requestWith(bundle, request);
  return z;
}

module.exports = { bound };
