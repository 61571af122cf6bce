// Makes an alias, with axios: node create_alias.js <domain_id> <name>
const axios = require('axios');

const client = axios.create({
  baseURL: process.env.API_URL,
  headers: {
    'Authorization': `Bearer ${process.env.API_KEY}`,
    'Content-Type': 'application/json',
  },
});

async function createAlias(domainId, name) {
  const response = await client.post('/aliases', { domain_id: domainId, name: name });
  return response.data;
}

createAlias(process.argv[2], process.argv[3]).then(
  (alias) => console.log(JSON.stringify({ alias })),
  (error) => console.log(JSON.stringify({ status: error.response.status, body: error.response.data })),
);
