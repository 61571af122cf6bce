// Verifies each line's request with the official library; says how many were right, and which was not.
const { Webhook } = require("standardwebhooks");
const { readFileSync } = require("fs");

const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const [number, line] of lines.entries()) {
  const { headers, body, secret } = JSON.parse(line);
  try {
    new Webhook(secret).verify(Buffer.from(body, "hex").toString("utf8"), headers);
  } catch (error) {
    console.log(`request ${number}: ${error.message}`);
    process.exit(1);
  }
}
console.log(`${lines.length} verified`);
