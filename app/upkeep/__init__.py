"""Background tasks of a service process."""
