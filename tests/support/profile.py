"""How long the tests of resilience go on: what a push can wait for, or, with `make soak`, what a night can."""

import os

LONG = os.environ.get("CAMPAIGNPOOL_SOAK") == "1"
