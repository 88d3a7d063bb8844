"""Where the Kubernetes API serves what the operator reads and writes."""

from urllib.parse import quote

from campaignpool.api.resource import GROUP, PLURAL, VERSION

LEASES = "/apis/coordination.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 (no password)


def pool(namespace: str, name: str) -> str:
    """Return the path of a CampaignPool."""
    return f"{pools(namespace)}/{quote(name)}"


def pools(namespace: str | None) -> str:
    """Return the path of the CampaignPools of a namespace, or of all."""
    start = f"/apis/{GROUP}/{VERSION}"
    return f"{start}/namespaces/{quote(namespace)}/{PLURAL}" if namespace else f"{start}/{PLURAL}"


def core(namespace: str, plural: str, name: str = "") -> str:
    """Return the path of objects of the core group, or of one of them."""
    return f"/api/v1/namespaces/{quote(namespace)}/{plural}" + (f"/{quote(name)}" if name else "")


def jobs(namespace: str) -> str:
    """Return the path of the Jobs of a namespace."""
    return f"/apis/batch/v1/namespaces/{quote(namespace)}/jobs"


def job(namespace: str, name: str) -> str:
    """Return the path of a Job."""
    return f"{jobs(namespace)}/{quote(name)}"


def leases(namespace: str) -> str:
    """Return the path of the Leases of a namespace."""
    return f"{LEASES}/namespaces/{quote(namespace)}/leases"


def lease(namespace: str, name: str) -> str:
    """Return the path of a Lease."""
    return f"{leases(namespace)}/{quote(name)}"
