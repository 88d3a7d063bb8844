"""The OpenAPI document of the API, made from its routes and models."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from campaignpool_operator.dashboard.api import Route
from campaignpool_operator.dashboard.models import Refusal
from campaignpool_operator.runtime.config import VERSION

PREFIX = "/api/v1"
_ABOUT = (
    "What the operator knows of pools. It only reads. Every request needs a bearer token of the cluster, or comes by "
    "way of an authenticating proxy, and is answered with what its user may see: who may get a CampaignPool sees it, "
    "who may list CampaignPools sees the list, and who may list Jobs, pods and Events sees these."
)
_REFUSALS = {
    "400": "A parameter is invalid.",
    "401": "Nobody is signed in, or the token is unknown.",
    "403": "You lack a right.",
    "404": "There is no such pool.",
    "503": "The Kubernetes API or the pool's database does not answer.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document."""
    models = {route.model for route in routes} | {Refusal}
    inputs = [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)]
    _, schemas = models_json_schema(inputs, by_alias=True, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {
        "openapi": "3.1.0",
        "info": {"title": "campaignpool", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": {route.path: {"get": _operation(route)} for route in routes},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    names = [part.strip("{}") for part in route.path.split("/") if part.startswith("{")]
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": f"The pool's {name}.",
        }
        for name in names
    ]
    in_query = [
        {
            "name": parameter.name,
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": parameter.most, "default": parameter.default},
            "description": parameter.about,
        }
        for parameter in route.parameters
    ]
    refusals = {code: _response(text, Refusal.__name__) for code, text in _REFUSALS.items()}
    return {
        "summary": route.about,
        "operationId": route.name,
        "parameters": [*in_path, *in_query],
        "responses": {"200": _response("What was asked for.", route.model.__name__), **refusals},
    }


def _response(text: str, model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
