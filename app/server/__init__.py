"""All code that depends on Hypercorn: use of its transport, and repairs of its faults."""
