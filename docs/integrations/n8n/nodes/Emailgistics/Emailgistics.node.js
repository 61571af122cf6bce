"use strict";

const { NodeApiError, NodeOperationError } = require("n8n-workflow");

const { loadOptions } = require("../../lib/api.js");
const { operations } = require("../../lib/operations.js");
const { properties } = require("./properties.js");

class Emailgistics {
  description = {
    displayName: "Emailgistics",
    name: "emailgistics",
    icon: "file:emailgistics.svg",
    group: ["transform"],
    version: 1,
    subtitle: '={{$parameter["operation"] + ": " + $parameter["resource"]}}',
    description: "Read emails, hand mail in, manage aliases",
    defaults: { name: "Emailgistics" },
    inputs: ["main"],
    outputs: ["main"],
    usableAsTool: true,
    credentials: [{ name: "emailgisticsApi", required: true }],
    properties,
  };

  methods = { loadOptions };

  async execute() {
    const made = [];
    for (const index of this.getInputData().keys()) {
      try {
        const found = await operationOf(this, index)(this, index);
        made.push(...found.map((item) => ({ ...item, pairedItem: { item: index } })));
      } catch (error) {
        if (!this.continueOnFail()) {
          throw toldOf(this, error, index);
        }
        made.push({ json: { error: error.message }, pairedItem: { item: index } });
      }
    }
    return [made];
  }
}

function operationOf(context, index) {
  const resource = context.getNodeParameter("resource", index);
  const name = context.getNodeParameter("operation", index);
  const operation = operations[resource]?.[name];
  if (!operation) {
    throw new NodeOperationError(context.getNode(), `There is no ${resource}: ${name}`, { itemIndex: index });
  }
  return operation;
}

function toldOf(context, error, index) {
  if (error instanceof NodeApiError || error instanceof NodeOperationError) {
    error.context.itemIndex = index;
    return error;
  }
  return new NodeOperationError(context.getNode(), error, { itemIndex: index });
}

module.exports = { Emailgistics };
