"""Ask an API for what its OpenAPI document allows, and for what it does not."""

import time
from collections.abc import Mapping

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

EXAMPLES = 10
"""Requests for each operation and each kind of data."""

_SECONDS = 12.0


def fuzz(address: str, headers: Mapping[str, str], existing: Mapping[str, str]) -> int:
    """Ask for valid and invalid data of each operation, until the time is up; return how often.

    Every answer must be one that the document declares, in its declared form, and none that the server failed.
    Without credentials, and with invalid ones, nothing is answered.

    Args:
        address: Of the document.
        headers: Credentials.
        existing: Parameters in paths, of something that there is; other requests ask for what there is not.
    """
    schema = schemathesis.openapi.from_url(address)
    end, asked = time.monotonic() + _SECONDS, 0
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for parameters in (None, dict(existing)):
            for result in schema.get_all_operations():
                operation = result.ok()
                wanted = parameters if operation.path_parameters else None
                if mode is GenerationMode.NEGATIVE and not operation.path_parameters and not operation.query:
                    continue  # nothing that could be invalid
                if time.monotonic() > end:
                    return asked

                @settings(
                    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
                )
                @given(case=operation.as_strategy(mode, path_parameters=wanted))
                def ask(case: Case) -> None:
                    nonlocal asked
                    if time.monotonic() < end:
                        asked += 1
                        # Parameters that the document does not name are ignored, as everywhere in HTTP.
                        case.call_and_validate(headers=dict(headers), excluded_checks=[negative_data_rejection])

                ask()
    return asked
