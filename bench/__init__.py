"""Every figure that the project quotes, measured: `python -m bench --help`."""
