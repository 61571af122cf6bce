"use strict";

const { loadOptions } = require("../../lib/api.js");
const { isNew } = require("../../lib/seen.js");
const { verify, VerificationError } = require("../../lib/signature.js");
const subscription = require("../../lib/subscription.js");
const { properties } = require("./trigger.properties.js");

class EmailgisticsTrigger {
  description = {
    displayName: "Emailgistics Trigger",
    name: "emailgisticsTrigger",
    icon: "file:emailgistics.svg",
    group: ["trigger"],
    version: 1,
    subtitle: '={{$parameter["receive"]}}',
    description: "Starts the workflow when an email comes in",
    defaults: { name: "Emailgistics Trigger" },
    inputs: [],
    outputs: ["main"],
    credentials: [{ name: "emailgisticsApi", required: true }],
    // 200 as soon as the workflow is begun: an attempt has 15 s
    webhooks: [{ name: "default", httpMethod: "POST", responseMode: "onReceived", path: "webhook", rawBody: true }],
    properties,
  };

  methods = { loadOptions };

  webhookMethods = {
    default: {
      async checkExists() {
        const kept = this.getWorkflowStaticData("node");
        if (!kept.secret || kept.fingerprint !== subscription.fingerprint(subscription.wanted(this))) {
          return false;
        }
        const there = await subscription.at(this, this.getNodeWebhookUrl("default"));
        return there.some((webhook) => webhook.id === kept.webhookId && webhook.state === "active");
      },

      async create() {
        const wanted = subscription.wanted(this);
        const subscribed = await subscription.subscribe(this, this.getNodeWebhookUrl("default"), wanted);
        Object.assign(this.getWorkflowStaticData("node"), subscribed, {
          fingerprint: subscription.fingerprint(wanted),
          isTest: this.getActivationMode() === "manual",
        });
        return true;
      },

      async delete() {
        const kept = this.getWorkflowStaticData("node");
        if (kept.webhookId && subscription.wanted(this).holds && !kept.isTest) {
          await subscription.pause(this, kept.webhookId); // what comes meanwhile waits there for the next activation
          return true;
        }
        if (kept.webhookId) {
          await subscription.unsubscribe(this, kept.webhookId);
        }
        for (const name of ["webhookId", "secret", "fingerprint", "isTest", "seen"]) {
          delete kept[name];
        }
        return true;
      },
    },
  };

  async webhook() {
    const kept = this.getWorkflowStaticData("node");
    const { headers, rawBody } = this.getRequestObject();
    let verified;
    try {
      verified = verify(headers, rawBody, kept.secret);
    } catch (error) {
      if (!(error instanceof VerificationError)) {
        throw error;
      }
      this.getResponseObject().status(401).json({ message: `Not started: ${error.message}.` });
      return { noWebhookResponse: true };
    }
    const { id, event } = verified;
    if (!this.getNodeParameter("events").includes(event.type)) {
      return { webhookResponse: { started: false, reason: `no workflow is for ${event.type}` } };
    }
    // only what is verified is remembered: nobody else can make us pass over a mail
    if (this.getNodeParameter("options", {}).skipRepeated !== false && !isNew(kept, id)) {
      return { webhookResponse: { started: false, reason: "it came before" } };
    }
    const { type, timestamp, data } = event;
    return { workflowData: [this.helpers.returnJsonArray({ ...data, event: { id, type, timestamp } })] };
  }
}

module.exports = { EmailgisticsTrigger };
