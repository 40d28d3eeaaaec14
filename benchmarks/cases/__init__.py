"""The cases, one noun a module."""
