"""Reviews: questions about rights and tokens, answered without being stored."""

from campaignpool_local.access.authorizer import Authorizer, Deed
from campaignpool_local.access.users import Tokens, User, named
from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json

REVIEWS = (
    "selfsubjectaccessreviews",
    "subjectaccessreviews",
    "localsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
    "tokenreviews",
)


def _deed(spec: Json) -> Deed:
    if about := spec.get("nonResourceAttributes"):
        return Deed(about.get("verb", ""), path=about.get("path", ""))
    about = spec.get("resourceAttributes") or {}
    resource = about.get("resource", "") + (f"/{about['subresource']}" if about.get("subresource") else "")
    return Deed(
        about.get("verb", ""), about.get("group", ""), resource, about.get("namespace", ""), about.get("name", "")
    )


def answer(kind: ResourceType, user: User, body: Json, authorizer: Authorizer, tokens: Tokens) -> Json:
    """Return a review with its status."""
    spec = body.get("spec") or {}
    match kind.plural:
        case "selfsubjectreviews":
            return _reviewed(kind, {}, {"userInfo": user.info})
        case "tokenreviews":
            owner = tokens.owner(spec.get("token", ""))
            status = {"authenticated": True, "user": owner.info} if owner else {"user": {}}
            return _reviewed(kind, {"spec": spec}, status)
        case "selfsubjectrulesreviews":
            rules = authorizer.rules(user, spec.get("namespace", ""))
            result = {
                "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
                "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            }
            return _reviewed(kind, {"spec": {}}, {**result, "incomplete": False})
        case plural:
            asked = (
                user if plural.startswith("self") else named(spec.get("user", ""), tuple(spec.get("groups") or ()))
            )
            allowed, why = authorizer.allows(asked, _deed(spec))
            return _reviewed(kind, {"spec": spec}, {"allowed": allowed, **({"reason": why} if why else {})})


def _reviewed(kind: ResourceType, more: Json, status: Json) -> Json:
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}, **more, "status": status}
