"""The HTTP routes, one blueprint a noun. Handlers only translate."""
