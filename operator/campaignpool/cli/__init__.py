"""The command line `campaignpool`: one module for each group of commands, and `common` for what they share.

A module has an `add` function that adds its commands; what a command does is in `blueprint` and `ledger`.
"""
