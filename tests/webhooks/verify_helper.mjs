// Reads one request in JSON and says what docs/verify/verify.mjs makes of it.
import { readFileSync } from "node:fs";

const { verify, verifyBody } = await import(process.argv[2]);
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { headers: given, asHeaders, body, secret, now } = JSON.parse(line);
  const headers = asHeaders ? new Headers(given) : given;
  const octets = Buffer.from(body, "hex");
  let answer;
  try {
    answer = { event: verify(headers, octets, secret, now) };
  } catch (error) {
    answer = { refused: error.message };
  }
  try {
    answer.simple = verifyBody(headers, octets, [secret].flat()[0]);
  } catch (error) {
    answer.simpleRefused = error.message;
  }
  console.log(JSON.stringify(answer));
}
