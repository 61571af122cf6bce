// Which events a trigger has started a workflow for. An attempt whose answer got lost is made again, with the same
// webhook-id; n8n itself would start a second workflow.
"use strict";

const KEPT = 500; // ids; they are saved with the workflow, so not for ever

// of this process: n8n reads the saved ones anew for each request, so two at once would not see each other
const underWay = new Set();

// Whether this is the first time; from now on it is not. kept: the static data of the node.
function isNew(kept, id) {
  const seen = kept.seen ?? [];
  if (seen.includes(id) || underWay.has(`${kept.webhookId} ${id}`)) {
    return false;
  }
  underWay.add(`${kept.webhookId} ${id}`);
  if (underWay.size > KEPT) {
    underWay.delete(underWay.values().next().value); // the oldest
  }
  kept.seen = [...seen, id].slice(-KEPT);
  return true;
}

module.exports = { isNew };
