// The form of the actions node. Operations with a form of their own are in lib/operations.js under the same names.
"use strict";

const RESOURCES = {
  alias: { name: "Alias", operations: ["create", "delete", "get", "getAll", "update"] },
  domain: { name: "Domain", operations: ["getAll"] },
  email: { name: "Email", operations: ["get", "getAll", "getAttachments", "getRaw", "replay", "submit"] },
  mailbox: { name: "Mailbox", operations: ["getAll"] },
  statistics: { name: "Statistics", operations: ["get"] },
};

const OPERATIONS = {
  create: { name: "Create", action: "Create" },
  delete: { name: "Delete", action: "Delete" },
  get: { name: "Get", action: "Get" },
  getAll: { name: "Get Many", action: "Get many" },
  getAttachments: { name: "Get Attachments", action: "Download attachments of" },
  getRaw: { name: "Get Raw", action: "Download the original of" },
  replay: { name: "Replay", action: "Send the webhooks again of" },
  submit: { name: "Submit", action: "Hand in" },
  update: { name: "Update", action: "Update" },
};

const resource = {
  displayName: "Resource",
  name: "resource",
  type: "options",
  noDataExpression: true,
  default: "email",
  options: Object.entries(RESOURCES).map(([value, { name }]) => ({ name, value })),
};

const operationsOf = ([value, { name, operations }]) => ({
  displayName: "Operation",
  name: "operation",
  type: "options",
  noDataExpression: true,
  default: operations.includes("getAll") ? "getAll" : "get",
  displayOptions: { show: { resource: [value] } },
  options: operations.map((operation) => ({
    name: OPERATIONS[operation].name,
    value: operation,
    action: `${OPERATIONS[operation].action} ${name.toLowerCase()}`,
  })),
});

const shownFor = (resources, operations) => ({ show: { resource: resources, operation: operations } });

const text = (displayName, name, more = {}) => ({ displayName, name, type: "string", default: "", ...more });

const dropdown = (displayName, name, method, more = {}) => ({
  displayName: `${displayName} Name or ID`,
  name,
  type: "options",
  typeOptions: { loadOptionsMethod: method },
  default: "",
  ...more,
});

const flag = (displayName, name, description) => ({ displayName, name, type: "boolean", default: true, description });

const collection = (displayName, name, displayOptions, options) => ({
  displayName,
  name,
  type: "collection",
  placeholder: `Add ${displayName.toLowerCase().replace(/s$/, "")}`,
  default: {},
  displayOptions,
  options,
});

const aliasFields = [
  flag("Active", "active", "Whether it takes mail"),
  text("Description", "description"),
  dropdown("Mailbox", "mailboxId", "getMailboxes", { description: "Where it leads" }),
];

const domainFilter = dropdown("Domain", "domainId", "getDomains");
const mailboxFilter = dropdown("Mailbox", "mailboxId", "getMailboxes");

const emailFilters = [
  dropdown("Alias", "aliasId", "getAliases"),
  domainFilter,
  text("From", "from", { description: "Address of the author" }),
  flag("Has Attachment", "hasAttachment", "Whether there is an attachment"),
  mailboxFilter,
  text("Message-ID", "messageId"),
  { displayName: "Received After", name: "receivedAfter", type: "dateTime", default: "" },
  { displayName: "Received Before", name: "receivedBefore", type: "dateTime", default: "" },
  text("Search", "search", { description: "Words that it contains" }),
  text("Status", "status", { placeholder: "processed" }),
  text("Subject", "subject"),
  text("To", "to", { description: "Address of a recipient" }),
];

const statisticsFilters = [
  domainFilter,
  { displayName: "From", name: "from", type: "dateTime", default: "" },
  {
    displayName: "Interval",
    name: "interval",
    type: "options",
    default: "day",
    options: ["Day", "Hour", "Month", "Week"].map((name) => ({ name, value: name.toLowerCase() })),
  },
  mailboxFilter,
  { displayName: "To", name: "to", type: "dateTime", default: "" },
];

const properties = [
  resource,
  ...Object.entries(RESOURCES).map(operationsOf),
  dropdown("Alias", "aliasId", "getAliases", {
    required: true,
    displayOptions: shownFor(["alias"], ["delete", "get", "update"]),
  }),
  dropdown("Domain", "domainId", "getDomains", { required: true, displayOptions: shownFor(["alias"], ["create"]) }),
  text("Name", "name", {
    required: true,
    placeholder: "orders",
    displayOptions: shownFor(["alias"], ["create"]),
    description: "What stands before the @",
  }),
  collection("Fields", "fields", shownFor(["alias"], ["create", "update"]), aliasFields),
  text("Email ID", "emailId", {
    required: true,
    placeholder: "email_…",
    displayOptions: shownFor(["email"], ["get", "getAttachments", "getRaw", "replay"]),
  }),
  {
    displayName: "Include",
    name: "include",
    type: "multiOptions",
    default: ["text"],
    displayOptions: shownFor(["email"], ["get"]),
    options: [
      { name: "Details", value: "details", description: "Of bounces, lists and invitations" },
      { name: "Headers", value: "headers" },
      { name: "HTML", value: "html" },
      { name: "Text", value: "text" },
    ],
  },
  text("Attachment ID", "attachmentId", {
    placeholder: "att_…",
    displayOptions: shownFor(["email"], ["getAttachments"]),
    description: "One of them; without, all",
  }),
  text("Put Output in Field", "binaryProperty", {
    default: "data",
    required: true,
    displayOptions: shownFor(["email"], ["getAttachments", "getRaw"]),
  }),
  text("Recipients", "recipients", {
    required: true,
    placeholder: "support@example.com",
    displayOptions: shownFor(["email"], ["submit"]),
    description: "Where it goes, whatever its headers say; several with commas between",
  }),
  text("Envelope Sender", "mailFrom", { displayOptions: shownFor(["email"], ["submit"]) }),
  text("Mail", "raw", {
    required: true,
    typeOptions: { rows: 8 },
    displayOptions: shownFor(["email"], ["submit"]),
    description: "As RFC 5322 has it: headers, an empty line, the text",
  }),
  {
    displayName: "Return All",
    name: "returnAll",
    type: "boolean",
    default: false,
    displayOptions: { show: { operation: ["getAll"] } },
    description: "Whether to return all results or only up to a given limit",
  },
  {
    displayName: "Limit",
    name: "limit",
    type: "number",
    typeOptions: { minValue: 1 },
    default: 50,
    displayOptions: { show: { operation: ["getAll"], returnAll: [false] } },
    description: "Max number of results to return",
  },
  collection("Filters", "filters", shownFor(["alias"], ["getAll"]), [domainFilter, mailboxFilter]),
  collection("Filters", "filters", shownFor(["mailbox"], ["getAll"]), [domainFilter]),
  collection("Filters", "filters", shownFor(["email"], ["getAll"]), emailFilters),
  collection("Filters", "filters", shownFor(["statistics"], ["get"]), statisticsFilters),
];

module.exports = { properties };
