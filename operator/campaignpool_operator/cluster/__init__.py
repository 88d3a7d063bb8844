"""The Kubernetes API client of the operator; the only package that imports `kubernetes`."""
