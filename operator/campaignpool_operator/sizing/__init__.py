"""The size of the master pool: this package reads the demand, `campaignpool.sizing` decides."""
