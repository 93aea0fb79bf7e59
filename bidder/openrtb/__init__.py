"""The exchange's language: wire objects, their translation into ours, markup, responses, tokens."""
