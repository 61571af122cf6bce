// The peer: npm's smtp-server, reading each mail to its end and keeping nothing.
const { SMTPServer } = require("smtp-server");

const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["STARTTLS", "AUTH"],
  disableReverseLookup: true,
  size: 64 * 1024 * 1024,
  onData(stream, _session, done) {
    stream.on("data", () => {});
    stream.on("end", done);
  },
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
