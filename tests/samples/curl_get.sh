#!/bin/sh
# Reads a path of the API, with curl: curl_get.sh /domains
curl -sS -X GET "$API_URL$1" \
  -H "Authorization: Bearer $API_KEY"
