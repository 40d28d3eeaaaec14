"""The demo: ``python -m demo`` starts it, and ``demo.checksum`` is its job."""
