"""Streams: from the request to the end of the response."""
