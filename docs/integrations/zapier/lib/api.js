"use strict";

const PAGE = 100; // the most that one answer holds

function url(bundle, path) {
  return bundle.authData.base_url.replace(/\/+$/, "") + path;
}

async function get(z, bundle, path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== "");
  const answer = await z.request({ url: url(bundle, path), params: Object.fromEntries(given) });
  return answer.data;
}

async function send(z, bundle, method, path, body) {
  const answer = await z.request({ method, url: url(bundle, path), ...(body !== undefined && { body }) });
  return answer.data;
}

// One page of a list, for a dropdown that is scrolled; the cursor of the next is kept by Zapier.
async function page(z, bundle, path) {
  const after = bundle.meta?.page ? await z.cursor.get() : undefined;
  if (bundle.meta?.page && !after) {
    return [];
  }
  const { data, pagination } = await get(z, bundle, path, { limit: PAGE, starting_after: after });
  await z.cursor.set(pagination.has_more ? data.at(-1).id : "");
  return data;
}

// beforeRequest: the key goes to the installation it belongs to, and nowhere else.
function authorize(request, z, bundle) {
  const { base_url: base, api_key: key } = bundle.authData ?? {};
  if (base && key && request.url.startsWith(`${url(bundle, "")}/`)) {
    request.headers.Authorization = `Bearer ${key}`;
  }
  return request;
}

// afterResponse: a problem becomes the error that Zapier shows, in the words of the API.
function refuse(response, z) {
  if (response.status < 400) {
    return response;
  }
  const problem = problemOf(response);
  const message = [problem.message ?? `The API answered ${response.status}.`, ...remarks(problem)].join(" ");
  if (response.status === 429 || response.status === 503) {
    throw new z.errors.ThrottledError(message, Number(response.getHeader("retry-after")) || 60);
  }
  if (problem.code === "key_expired" || problem.code === "key_revoked") {
    throw new z.errors.ExpiredAuthError(message); // Zapier pauses and asks for another one
  }
  throw new z.errors.Error(message, problem.code, response.status);
}

function remarks(problem) {
  const scopes = problem.required_scopes;
  return [
    ...(problem.errors ?? []).map((error) => `${error.pointer}: ${error.detail}`),
    ...(scopes ? [`The key needs: ${scopes.join(", ")}.`] : []),
  ];
}

function problemOf(response) {
  try {
    return JSON.parse(response.content);
  } catch {
    return {}; // of something that stands before the API
  }
}

module.exports = { authorize, get, page, refuse, send, url };
