"""Benchmarks: they measure every figure that the project quotes. See `python -m bench --help`."""
