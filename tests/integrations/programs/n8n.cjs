// One step of n8n with the nodes of docs/integrations/n8n: reads what to do from standard input, prints what came of it.
"use strict";

const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const { folder, node: name, step, asked = {} } = JSON.parse(readFileSync(0, "utf8"));
const manifest = require(join(folder, "package.json"));

// as n8n finds a class: in a file that package.json lists, under the name of the file
function made(className) {
  const listed = [...manifest.n8n.nodes, ...manifest.n8n.credentials];
  const path = listed.find((one) => one.split("/").at(-1).startsWith(`${className}.`));
  const { [className]: Found } = require(join(folder, path));
  return new Found();
}

const credential = made("EmailgisticsApi");
const { credentials, parameters = {}, staticData = {}, url, request, items = 1, activationMode = "activate" } = asked;

// `=… {{ … }} …`, where $credentials is known
function evaluated(expression) {
  const evaluate = (_, code) => new Function("$credentials", `return ${code}`)(credentials);
  return expression.startsWith("=") ? expression.slice(1).replace(/\{\{(.*?)\}\}/g, evaluate) : expression;
}

async function httpRequest({ method = "GET", baseURL = "", url: path, headers, body, json, encoding, ...how }) {
  const isPlain = body && !Buffer.isBuffer(body);
  const answer = await fetch(baseURL + path, {
    method,
    headers: { ...headers, ...(isPlain && { "Content-Type": "application/json" }) },
    body: isPlain ? JSON.stringify(body) : body,
  });
  if (!answer.ok && !how.ignoreHttpStatusErrors) {
    throw Object.assign(new Error(`Request failed with status code ${answer.status}`), { httpCode: answer.status });
  }
  const octets = Buffer.from(await answer.arrayBuffer());
  const parsed = () => (octets.length && answer.headers.get("content-type")?.includes("json") ? JSON.parse(octets) : "");
  const content = encoding === "arraybuffer" ? octets : parsed();
  const { status: statusCode, headers: received } = answer;
  return how.returnFullResponse ? { statusCode, headers: Object.fromEntries(received), body: content } : content;
}

function httpRequestWithAuthentication(type, options) {
  const own = Object.entries(credential.authenticate.properties.headers);
  const headers = Object.fromEntries(own.map(([header, value]) => [header, evaluated(value)]));
  return httpRequest.call(this, { ...options, headers: { ...options.headers, ...headers } });
}

const answered = {};
const response = {
  status(code) {
    answered.status = code;
    return this;
  },
  json(body) {
    answered.body = body;
    return this;
  },
};

const executionId = asked.executionId ?? randomUUID();
const context = {
  getCredentials: async () => credentials,
  getNode: () => ({ id: "node", name }),
  // hooks ask (name, default), actions (name, item, default)
  getNodeParameter(parameter, ...rest) {
    const fallback = step === "execute" ? rest[1] : rest[0];
    if (!(parameter in parameters) && fallback === undefined) {
      throw new Error(`the form has no ${parameter}`);
    }
    return parameters[parameter] ?? fallback;
  },
  getWorkflowStaticData: () => staticData,
  getNodeWebhookUrl: () => url,
  getActivationMode: () => activationMode,
  getRequestObject: () => ({ headers: request.headers, rawBody: Buffer.from(request.body, "hex") }),
  getResponseObject: () => response,
  getInputData: () => Array.from({ length: items }, () => ({ json: {} })),
  getWorkflowDataProxy: () => ({ $runIndex: 0 }),
  getExecutionId: () => executionId,
  getTimezone: () => "Asia/Kathmandu",
  continueOnFail: () => Boolean(asked.continueOnFail),
  helpers: {
    httpRequest,
    httpRequestWithAuthentication,
    prepareBinaryData: async (octets, fileName, mimeType) => ({ fileName, mimeType, data: octets.toString("base64") }),
    returnJsonArray: (json) => [json].flat().map((one) => ({ json: one })),
  },
};

async function done() {
  if (step === "describe") {
    return { credential, trigger: made("EmailgisticsTrigger"), node: made("Emailgistics") };
  }
  if (step === "test") {
    const { baseURL, url: path } = credential.test.request;
    return httpRequestWithAuthentication("emailgisticsApi", { baseURL: evaluated(baseURL), url: path, json: true });
  }
  const node = made(name);
  if (step in (node.webhookMethods?.default ?? {})) {
    return node.webhookMethods.default[step].call(context);
  }
  if (step in node.methods.loadOptions) {
    return node.methods.loadOptions[step].call(context);
  }
  return node[step].call(context);
}

done()
  .then((result) => ({ result }))
  .catch(({ message, description, httpCode, stack }) => ({ error: { message, description, httpCode, stack } }))
  .then((told) => console.log(JSON.stringify({ ...told, staticData, answered })));
