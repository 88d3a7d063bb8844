"""The images Job: copies the files of new campaigns and deletes those of deleted ones.

`worker` leases image sets and runs a strategy on each; `store` is the port to a store of files,
`imagekit` its adapter.
"""
