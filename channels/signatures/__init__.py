"""Whether a request really comes from the provider that it names: pure checks on the bytes as they came.

Each raises SignatureError, and nothing else, for what isn't signed right.
"""
