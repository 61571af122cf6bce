"use strict";

const { url } = require("../lib/api.js");

async function submit(z, bundle) {
  const { recipient, mail_from, raw } = bundle.inputData;
  const query = new URLSearchParams(recipient.map((address) => ["recipient", address]));
  if (mail_from) {
    query.append("mail_from", mail_from);
  }
  const answer = await z.request({
    method: "POST",
    url: url(bundle, `/v1/emails?${query}`),
    headers: { "Content-Type": "message/rfc822" },
    body: raw.replace(/\r?\n/g, "\r\n"), // a form has line feeds, mail has more
  });
  return answer.data;
}

module.exports = {
  key: "mail",
  noun: "Mail",
  display: { label: "Hand In Mail", description: "Hands a mail in, as if it had come by SMTP." },
  operation: {
    inputFields: [
      { key: "recipient", label: "Recipients", list: true, required: true, helpText: "Where it goes, whatever its headers say." },
      { key: "mail_from", label: "Envelope Sender", required: false },
      { key: "raw", label: "Mail", type: "text", required: true, helpText: "Headers, an empty line, the text (RFC 5322)." },
    ],
    perform: submit,
    sample: { id: "msg_01jd2x8kt6n4v8r1c5w9z2b7ha", resent: false, discarded: false, emails: [] },
  },
};
