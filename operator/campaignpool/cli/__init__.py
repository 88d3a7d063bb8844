"""The command line `campaignpool`: one module for each group of commands."""
