"""The demo: ``python -m demo`` starts it, ``demo.checksum`` is its job."""
