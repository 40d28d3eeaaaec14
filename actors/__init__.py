"""One actor for each job that is watched, all on one event loop."""
