#!/usr/bin/env bash
# A served model with curl: list models, then stream a chat.
# Set OPENAI_BASE_URL, OPENAI_API_KEY and MODEL; the defaults fit `make demo` behind `kubectl port-forward`.
set -euo pipefail
url=${OPENAI_BASE_URL:-http://127.0.0.1:8000/v1}
key="Authorization: Bearer ${OPENAI_API_KEY:-none}"

curl --fail-with-body --silent --show-error -H "$key" "$url/models"
echo
curl --fail-with-body --silent --show-error --no-buffer -H "$key" -H "Content-Type: application/json" \
  "$url/chat/completions" -d @- <<JSON
{
  "model": "${MODEL:-tiny}",
  "messages": [{"role": "user", "content": "Say hello."}],
  "temperature": 0,
  "stream": true
}
JSON
