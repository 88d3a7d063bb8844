"""What the API server refuses of built-in kinds, word for word: Jobs, pods, labels, quantities, Secrets."""

import copy
from collections.abc import Iterator

import httpx
import pytest

from campaignpool_local.admission.pods import quantity
from campaignpool_local.emulator import Emulator
from campaignpool_local.values import Json, Value

JOBS = "/apis/batch/v1/namespaces/default/jobs"
POD = "spec.template.spec"
ONE = f"{POD}.containers[0]"
LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
CONTAINER = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
DECODING = 'Job in version "v1" cannot be handled as a Job: '


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, params={"dryRun": "All"}, timeout=60) as client:
        yield client


def job() -> Json:
    container = {"name": "main", "image": "seeder:1", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": "j"}, "spec": {"template": template}}


def at(body: Json, path: str) -> tuple[Value, str]:
    """Return the object that holds what is at a path, and its key there; makes what is missing."""
    *way, last = path.split("/")
    here: Value = body
    for step in way:
        here = here[int(step)] if step.isdigit() else here.setdefault(step, {})
    return here, last


MAIN = "spec/template/spec/containers/0"
INVALID: dict[str, tuple[str, Value, str]] = {
    "containers are missing": ("spec/template/spec/containers", [], f"{POD}.containers: Required value"),
    "a container is null": (
        "spec/template/spec/containers",
        [None],
        f"[{ONE}.name: Required value, {ONE}.image: Required value]",
    ),
    "name of a container": (f"{MAIN}/name", "Main\n", f'{ONE}.name: Invalid value: "Main\\n": {CONTAINER}'),
    "image is missing": (f"{MAIN}/image", "", f"{ONE}.image: Required value"),
    "image with spaces": (
        f"{MAIN}/image",
        " seeder",
        f'{ONE}.image: Invalid value: " seeder": must not have leading or trailing whitespace',
    ),
    "pull policy": (
        f"{MAIN}/imagePullPolicy",
        "Sometimes",
        f'{ONE}.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
    "name of a variable": (
        f"{MAIN}/env",
        [{"name": "A=B", "value": "1"}],
        (
            f'{ONE}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist only'
            f" of printable"
            " ASCII characters other than '='"
        ),
    ),
    "variable without a source": (
        f"{MAIN}/env",
        [{"name": "A", "valueFrom": {}}],
        (
            f'{ONE}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`,'
            " `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        ),
    ),
    "variable with two values": (
        f"{MAIN}/env",
        [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        f'{ONE}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    "key of a Secret": (
        f"{MAIN}/env",
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        f"{ONE}.env[0].valueFrom.secretKeyRef.key: Required value",
    ),
    "field of the pod": (
        f"{MAIN}/env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "name"}}}],
        (
            f'{ONE}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "name": error converting fieldPath:'
            f" field label"
            " not supported: name"
        ),
    ),
    "request above its limit": (
        f"{MAIN}/resources",
        {"limits": {"memory": "1Gi"}, "requests": {"memory": "1025Mi"}},
        f'{ONE}.resources.requests: Invalid value: "1025Mi": must be less than or equal to memory limit of 1Gi',
    ),
    "negative limit": (
        f"{MAIN}/resources",
        {"limits": {"cpu": "-1"}},
        f'{ONE}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    "unknown resource": (
        f"{MAIN}/resources",
        {"limits": {"memori": "1"}},
        f'{ONE}.resources.limits: Invalid value: "memori": must be a standard resource for containers',
    ),
    "mount of no volume": (
        f"{MAIN}/volumeMounts",
        [{"name": "ca", "mountPath": "/ca"}],
        f'{ONE}.volumeMounts[0].name: Not found: "ca"',
    ),
    "two volumes of one name": (
        "spec/template/spec/volumes",
        [{"name": "a", "emptyDir": {}}] * 2,
        f'{POD}.volumes[1].name: Duplicate value: "a"',
    ),
    "volume of no kind": (
        "spec/template/spec/volumes",
        [{"name": "a"}],
        f"{POD}.volumes[0]: Required value: must specify a volume type",
    ),
    "user out of range": (
        "spec/template/spec/securityContext",
        {"runAsUser": -1},
        f"{POD}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    "restart policy": (
        "spec/template/spec/restartPolicy",
        "Sometimes",
        f'{POD}.restartPolicy: Unsupported value: "Sometimes": supported values: "OnFailure", "Never"',
    ),
    "node selector": (
        "spec/template/spec/nodeSelector",
        {"disk": "two words"},
        f'{POD}.nodeSelector: Invalid value: "two words": {LABEL}',
    ),
    "name of the ServiceAccount": (
        "spec/template/spec/serviceAccountName",
        "A_b",
        f'{POD}.serviceAccountName: Invalid value: "A_b": {SUBDOMAIN}',
    ),
    "value of a label": ("metadata/labels", {"a": "b\n"}, f'metadata.labels: Invalid value: "b\\n": {LABEL}'),
    "key of a label": ("metadata/labels", {"a b": "c"}, f'metadata.labels: Invalid value: "a b": {KEY}'),
    "prefix of a label": (
        "metadata/labels",
        {"A/b": "c"},
        f'metadata.labels: Invalid value: "A/b": prefix part {SUBDOMAIN}',
    ),
    "label of the pods": (
        "spec/template/metadata/labels",
        {"a": "-"},
        f'spec.template.labels: Invalid value: "-": {LABEL}',
    ),
    "key of an annotation": (
        "metadata/annotations",
        {"": "c"},
        (
            '[metadata.annotations: Invalid value: "": name part must be non-empty, metadata.annotations: Invalid'
            f' value: "": {KEY}]'
        ),
    ),
    "name of the Job": ("metadata/name", "j_1", f'metadata.name: Invalid value: "j_1": {SUBDOMAIN}'),
    "number of retries": (
        "spec/backoffLimit",
        -1,
        "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
    ),
    "action of the failure policy": (
        "spec/podFailurePolicy",
        {"rules": [{"action": "Retry", "onExitCodes": {"operator": "In", "values": [3]}}]},
        (
            'spec.podFailurePolicy.rules[0].action: Unsupported value: "Retry": supported values: "Count",'
            ' "FailIndex",'
            ' "FailJob", "Ignore"'
        ),
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_job_is_refused_with_all_its_faults(api: httpx.Client, name: str) -> None:
    path, value, said = INVALID[name]
    body = job()
    holder, key = at(body, path)
    holder[key] = copy.deepcopy(value)
    answer = api.post(JOBS, json=body)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    head, _, message = answer.json()["message"].partition(" is invalid: ")
    assert (head, message) == (f'Job.batch "{body["metadata"]["name"]}"', said)


MISREAD: dict[str, tuple[str, Value, str]] = {
    "containers are no list": (
        "spec/template/spec/containers",
        {"name": "main"},
        (
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type"
            " []v1.Container"
        ),
    ),
    "a word of the command is a number": (
        f"{MAIN}/command",
        ["sleep", 1],
        (
            "json: cannot unmarshal number into Go struct field"
            " Container.spec.template.spec.containers.command of type"
            " string"
        ),
    ),
    "value of a variable is a number": (
        f"{MAIN}/env",
        [{"name": "A", "value": 1}],
        (
            "json: cannot unmarshal number into Go struct field"
            " EnvVar.spec.template.spec.containers.env.value of type"
            " string"
        ),
    ),
    "a number is a text": (
        "spec/backoffLimit",
        "3",
        "json: cannot unmarshal string into Go struct field JobSpec.spec.backoffLimit of type int32",
    ),
    "a deadline is a text": (
        "spec/activeDeadlineSeconds",
        "3",
        "json: cannot unmarshal string into Go struct field JobSpec.spec.activeDeadlineSeconds of type int64",
    ),
    "a quantity is none": (f"{MAIN}/resources", {"limits": {"memory": "lots"}}, QUANTITY),
    "a quantity has a wrong unit": (
        f"{MAIN}/resources",
        {"limits": {"memory": "1Kk"}},
        "unable to parse quantity's suffix",
    ),
    "labels are a list": (
        "metadata/labels",
        ["a"],
        "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_job_of_wrong_types_is_not_read(api: httpx.Client, name: str) -> None:
    path, value, said = MISREAD[name]
    body = job()
    holder, key = at(body, path)
    holder[key] = value
    answer = api.post(JOBS, json=body)
    assert (answer.status_code, answer.json()["message"]) == (httpx.codes.BAD_REQUEST, DECODING + said)


@pytest.mark.parametrize(
    ("key", "value", "fixed"),
    [
        ("template", {"spec": {"containers": [{"name": "main", "image": "other:1"}]}}, True),
        ("completions", 2, True),
        ("completionMode", "Indexed", True),
        ("parallelism", 0, False),
        ("backoffLimit", 3, False),
        ("activeDeadlineSeconds", 90, False),
        ("suspend", True, False),
    ],
)
def test_what_changes_in_a_job(emulator: Emulator, key: str, value: Value, *, fixed: bool) -> None:
    with httpx.Client(base_url=emulator.url, timeout=60) as api:
        body = {**job(), "metadata": {"generateName": "j-"}}
        name = api.post(JOBS, json=body).raise_for_status().json()["metadata"]["name"]
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = api.patch(f"{JOBS}/{name}", json={"spec": {key: value}}, headers=headers)
        api.delete(f"{JOBS}/{name}", params={"propagationPolicy": "Background"}).raise_for_status()
    if not fixed:
        assert answer.is_success, answer.text
        return
    causes = answer.json()["details"]["causes"]
    assert (f"spec.{key}", "FieldValueInvalid") in [(cause["field"], cause["reason"]) for cause in causes]
    assert answer.json()["message"].endswith(("field is immutable", "field is immutable]"))


def test_an_unknown_field_is_dropped_with_a_warning(api: httpx.Client) -> None:
    body = job()
    body["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Never"
    answer = api.post(JOBS, json=body).raise_for_status()
    path = f"{ONE}.imagePolicy"
    assert answer.headers["Warning"] == f'299 - "unknown field \\"{path}\\""'
    assert "imagePolicy" not in answer.json()["spec"]["template"]["spec"]["containers"][0]
    refused = api.post(JOBS, json=body, params={"fieldValidation": "Strict"})
    assert refused.json()["message"] == f'{DECODING}strict decoding error: unknown field "{path}"'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5Gi", 1610612736),
        ("100m", "0.1"),
        ("2E", 2 * 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("-1k", -1000),
    ],
)
def test_quantities(text: str, value: int | str) -> None:
    assert quantity(text) == type(quantity(text))(value)
