"""One actor for each watched job, all on one event loop."""
