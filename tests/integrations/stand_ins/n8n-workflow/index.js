// The errors of n8n-workflow, as far as the nodes use them.
"use strict";

class NodeError extends Error {
  constructor(node, message, { description, httpCode, itemIndex } = {}) {
    super(message);
    Object.assign(this, { node, description, httpCode, context: { itemIndex } });
  }
}

class NodeApiError extends NodeError {
  constructor(node, response, told) {
    super(node, told.message, told);
  }
}

class NodeOperationError extends NodeError {
  constructor(node, error, told) {
    super(node, error.message ?? error, told);
  }
}

module.exports = { NodeApiError, NodeOperationError };
