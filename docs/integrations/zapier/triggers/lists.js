// Hidden triggers: what the dropdowns of the others hold.
"use strict";

const { page } = require("../lib/api.js");

const list = (key, noun, path, labelled) => ({
  key,
  noun,
  display: { label: `List ${noun}`, description: `Fills dropdowns.`, hidden: true },
  operation: {
    canPaginate: true,
    perform: async (z, bundle) => (await page(z, bundle, path)).map((row) => ({ id: row.id, label: row[labelled] })),
    sample: { id: "id", label: "label" },
  },
});

module.exports = [
  list("domain_list", "Domain", "/v1/domains", "name"),
  list("mailbox_list", "Mailbox", "/v1/mailboxes", "address"),
  list("alias_list", "Alias", "/v1/aliases", "address"),
];
