"use strict";

const dropdown = (name, displayName, method, shownFor, description, more = {}) => ({
  displayName,
  name,
  type: "options",
  typeOptions: { loadOptionsMethod: method },
  default: "",
  required: true,
  displayOptions: { show: { receive: [shownFor] } },
  description,
  ...more,
});

const properties = [
  {
    displayName: "Mail To",
    name: "receive",
    type: "options",
    noDataExpression: true,
    default: "mailbox",
    options: [
      { name: "A Mailbox", value: "mailbox", description: "All that comes into it, by whichever address" },
      { name: "An Alias", value: "alias", description: "What comes to one address" },
      { name: "A New Alias", value: "newAlias", description: "Makes the address, if it is not there" },
      { name: "A Whole Domain", value: "domain", description: "Needs a key for all mailboxes" },
    ],
  },
  dropdown("mailboxId", "Mailbox Name or ID", "getMailboxes", "mailbox", "Mailboxes that the key may open"),
  dropdown("aliasId", "Alias Name or ID", "getAliases", "alias", "Aliases that lead to them"),
  dropdown("domainId", "Domain Name or ID", "getDomains", "domain", "Every address of it"),
  dropdown("aliasDomainId", "Domain Name or ID", "getDomains", "newAlias", "Of the new alias"),
  {
    displayName: "Name",
    name: "aliasName",
    type: "string",
    default: "",
    required: true,
    placeholder: "orders",
    displayOptions: { show: { receive: ["newAlias"] } },
    description: "What stands before the @; it stays when the workflow is deactivated",
  },
  dropdown("aliasMailboxId", "Mailbox Name or ID", "getMailboxes", "newAlias", "Where its mail is kept", {
    required: false,
  }),
  {
    displayName: "Events",
    name: "events",
    type: "multiOptions",
    default: ["email.received"],
    required: true,
    options: [
      { name: "Email Received", value: "email.received" },
      { name: "Email Parsed Again", value: "email.reparsed", description: "After an upgrade reads it better" },
    ],
  },
  {
    displayName: "Options",
    name: "options",
    type: "collection",
    placeholder: "Add option",
    default: {},
    options: [
      {
        displayName: "Hold Mail While Inactive",
        name: "holdMail",
        type: "boolean",
        default: false,
        description:
          "Whether mail that comes while the workflow is inactive, or while n8n is restarted, waits for the next activation. Without, the workflow never hears of it.",
      },
      {
        displayName: "Inline Attachments",
        name: "inlineAttachments",
        type: "boolean",
        default: false,
        description: "Whether small attachments come as base64 instead of as links",
      },
      {
        displayName: "Payload",
        name: "payload",
        type: "options",
        default: "full",
        options: [
          { name: "Full", value: "full" },
          { name: "Metadata", value: "metadata", description: "Nothing of what the mail says" },
        ],
      },
      {
        displayName: "Skip What Came Before",
        name: "skipRepeated",
        type: "boolean",
        default: true,
        description:
          "Whether an event that started the workflow once is passed over when it is sent again. Switch it off to run the workflow again by replaying.",
      },
    ],
  },
];

module.exports = { properties };
