"use strict";

class EmailgisticsApi {
  name = "emailgisticsApi";

  displayName = "Emailgistics API";

  properties = [
    {
      displayName: "Base URL",
      name: "baseUrl",
      type: "string",
      default: "",
      required: true,
      placeholder: "https://mail.example.com",
      description: "Where your Emailgistics is reached, without /v1",
    },
    {
      displayName: "API Key",
      name: "apiKey",
      type: "string",
      typeOptions: { password: true },
      default: "",
      required: true,
      description: "From API Access in the console; the preset n8n has the scopes that the nodes need",
    },
  ];

  authenticate = {
    type: "generic",
    properties: { headers: { Authorization: "=Bearer {{$credentials.apiKey}}" } },
  };

  // needs no scope, so it works with every key
  test = {
    request: { baseURL: '={{$credentials.baseUrl.replace(/\\/+$/, "")}}', url: "/v1/me" },
  };
}

module.exports = { EmailgisticsApi };
