"""What a condition is judged to be."""

from typing import Literal, TypeAlias

from campaignpool.api.reasons import Reason

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]

Judgement: TypeAlias = tuple[ConditionStatus, Reason, str]
"""Status, reason and message of a condition."""
