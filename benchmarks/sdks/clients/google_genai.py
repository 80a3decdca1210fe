"""google-genai, its Interactions."""

import sys

from google import genai

client = genai.Client(api_key="test-key", http_options={"base_url": sys.argv[1]})
client.interactions.create(model="gemini-omni-1.2-flash", input="A lighthouse", background=True)
