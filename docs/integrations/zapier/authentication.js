"use strict";

const { get } = require("./lib/api.js");

module.exports = {
  type: "custom",
  fields: [
    {
      key: "base_url",
      label: "Base URL",
      type: "string",
      required: true,
      placeholder: "https://mail.example.com",
      helpText: "Where your Emailgistics is reached, without /v1.",
    },
    {
      key: "api_key",
      label: "API Key",
      type: "password",
      required: true,
      helpText: "From *API Access* in the console. The preset *Zapier* has the scopes that are needed.",
    },
  ],
  // needs no scope; what it answers is what the label is made of
  test: (z, bundle) => get(z, bundle, "/v1/me"),
  connectionLabel: "{{name}}",
};
