// Receives webhooks and verifies each: SECRET=whsec_… node receiver.js. Says its port, then a line for each request.
const crypto = require('crypto');
const http = require('http');

function verifyWebhook(payload, signature, secret) {
  const hash = crypto.createHmac('sha256', secret).update(payload).digest('hex');
  return hash === signature;
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const payload = Buffer.concat(chunks);
    const verified = verifyWebhook(payload, request.headers['x-webhook-signature'], process.env.SECRET);
    response.writeHead(verified ? 204 : 401).end();
    const { type, data } = JSON.parse(payload);
    const custom = request.headers['x-custom-header'];
    console.log(JSON.stringify({ verified, type, custom, subject: data.subject, alias: data.alias.id }));
  });
});

server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(server.address().port));
