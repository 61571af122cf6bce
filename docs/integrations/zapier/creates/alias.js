"use strict";

const { send } = require("../lib/api.js");

async function create(z, bundle) {
  const { domain_id, name, description, mailbox_id } = bundle.inputData;
  const further = { ...(description && { description }), ...(mailbox_id && { mailbox_id }) };
  return send(z, bundle, "POST", "/v1/aliases", { domain_id, name, ...further });
}

module.exports = {
  key: "alias",
  noun: "Alias",
  display: { label: "Create Alias", description: "Makes a further address that leads to a mailbox." },
  operation: {
    inputFields: [
      { key: "domain_id", label: "Domain", dynamic: "domain_list.id.label", required: true },
      { key: "name", label: "Name", required: true, helpText: "What stands before the @." },
      { key: "description", label: "Description", required: false },
      { key: "mailbox_id", label: "Mailbox", dynamic: "mailbox_list.id.label", required: false },
    ],
    perform: create,
    sample: { id: "alias_01jd2x8krp3s6t9v2x5z8b1d4f", address: "help@example.com", name: "help", active: true },
  },
};
