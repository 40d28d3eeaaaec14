"""The HTTP routes: a blueprint for each resource. Handlers only translate."""
