"""What a service process does beside requests."""
