"""Chat endpoints: requests to servers that speak OpenAI's protocol, and what such servers say and refuse."""
