// Reads lines of JSON; answers each with whether JSON.stringify writes the same octets again.
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (hex) => {
    const octets = Buffer.from(hex, "hex");
    const again = Buffer.from(JSON.stringify(JSON.parse(octets.toString("utf8"))), "utf8");
    console.log(again.equals(octets) ? "same" : "other");
  });
