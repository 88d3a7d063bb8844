"""The resource: its models, the blueprint that it declares, and all that is generated from them."""
