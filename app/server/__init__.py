"""All that knows the server: Hypercorn, its transport and its faults."""
