"""The size of the resilience tests: short by default, hours with `make soak`."""

import os

LONG = os.environ.get("CAMPAIGNPOOL_SOAK") == "1"
