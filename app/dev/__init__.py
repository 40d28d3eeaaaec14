"""Valkey and the service as local processes: for developers and the demo."""
