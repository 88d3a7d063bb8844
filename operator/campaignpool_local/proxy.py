"""The proxy of Services: pods are processes of this machine, so a Service leads to its target port here."""

import aiohttp
from aiohttp import web
from yarl import URL

from campaignpool_local.values import ApiError, Json

_NOT_PASSED = ("authorization", "connection", "content-length", "host", "transfer-encoding")


def split(name: str) -> tuple[str, str]:
    """Return name and port of `name`, `name:port` or `scheme:name:port`."""
    parts = name.split(":")
    return (parts[1], parts[2]) if len(parts) == 3 else (parts[0], parts[1] if len(parts) == 2 else "")


async def proxied(request: web.Request, service: Json, port: str, path: str) -> web.StreamResponse:
    """Pass a request on, without the user's credentials, as an API server does."""
    ports = service["spec"].get("ports") or ()
    chosen = next((item for item in ports if port in ("", str(item["port"]), item.get("name"))), None)
    if chosen is None:
        message = f'no service port "{port}" found for service "{service["metadata"]["name"]}"'
        raise ApiError(503, "ServiceUnavailable", message)
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    url = URL(f"http://127.0.0.1:{chosen.get('targetPort', chosen['port'])}/{path}{query}", encoded=True)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
    body = await request.read()
    try:
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=headers, data=body or None) as answer,
        ):
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            return response
    except aiohttp.ClientError as error:
        raise ApiError(503, "ServiceUnavailable", f"error trying to reach service: {error}") from error
