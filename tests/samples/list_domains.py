"""Lists the domains, with requests."""

import json
import os
import sys

import requests

API_KEY = os.environ["API_KEY"]
BASE_URL = os.environ["API_URL"]

headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}

response = requests.get(f"{BASE_URL}/domains", headers=headers, timeout=20)
limits = {name: response.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")}
json.dump({"status": response.status_code, "body": response.json(), "limits": limits}, sys.stdout)
