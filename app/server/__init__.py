"""Everything that knows Hypercorn: its transport and repairs of its faults."""
