"""Validation of CustomResourceDefinitions, as strict as the API server's: schemas, defaults, CEL rules, columns."""
