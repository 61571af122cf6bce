#!/bin/sh
# Posts JSON, with curl: curl_post.sh /webhooks '{"alias_id": …}'
curl -sS -X POST "$API_URL$1" \
  -H "Authorization: Bearer $API_KEY" \
  -H "Content-Type: application/json" \
  -d "$2"
