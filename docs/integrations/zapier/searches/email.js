"use strict";

const { get } = require("../lib/api.js");

const FOUND_AT_MOST = 10;

async function find(z, bundle) {
  const { from, subject, q, mailbox_id, alias_id } = bundle.inputData;
  const params = { from, subject, q, mailbox_id, alias_id, limit: FOUND_AT_MOST };
  return (await get(z, bundle, "/v1/emails", params)).data;
}

module.exports = {
  key: "email",
  noun: "Email",
  display: { label: "Find Email", description: "Finds the newest emails by author, subject or words." },
  operation: {
    inputFields: [
      { key: "from", label: "From", required: false, helpText: "Address of the author." },
      { key: "subject", label: "Subject", required: false },
      { key: "q", label: "Words", required: false },
      { key: "mailbox_id", label: "Mailbox", dynamic: "mailbox_list.id.label", required: false },
      { key: "alias_id", label: "Alias", dynamic: "alias_list.id.label", required: false },
    ],
    perform: find,
    sample: { id: "email_01jd2x8kt6n4v8r1c5w9z2b7ha", subject: "Broken engine", status: "processed" },
  },
};
