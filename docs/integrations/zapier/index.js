"use strict";

const { dependencies, version } = require("./package.json");
const authentication = require("./authentication.js");
const { authorize, refuse } = require("./lib/api.js");
const alias = require("./creates/alias.js");
const mail = require("./creates/mail.js");
const email = require("./searches/email.js");
const lists = require("./triggers/lists.js");
const newEmail = require("./triggers/new_email.js");

const byKey = (...things) => Object.fromEntries(things.map((thing) => [thing.key, thing]));

module.exports = {
  version,
  platformVersion: dependencies["zapier-platform-core"],
  authentication,
  beforeRequest: [authorize],
  afterResponse: [refuse],
  triggers: byKey(newEmail, ...lists),
  creates: byKey(alias, mail),
  searches: byKey(email),
};
