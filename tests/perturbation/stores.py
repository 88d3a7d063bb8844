"""The store of images: the stand-in for ImageKit, with the virtual clock; each call of an images Job is a crossing.

Faults of the seam `store`: `fail` (nothing is done, and no answer comes), `lost` (it is done, and no answer comes).
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from campaignpool_local.imagekit import UNLIMITED
from campaignpool_local.imagekit import ImageKit as StandIn
from campaignpool_seeder.images.imagekit import ImageKit
from campaignpool_seeder.images.store import StoreUnavailableError
from tests.perturbation.clocks import Clocks
from tests.perturbation.seams import Seams
from tests.support import small

Json = dict[str, Any]

CALLS = ("files", "folders", "copy_file", "copy_folder", "is_job_finished", "delete_folder")
FOLDER = "/campaigns"
IMAGES = 2
"""Of the template, all of its first thing."""

SCHEMA = f"""
CREATE TABLE blobs (
    id uuid PRIMARY KEY, key text NOT NULL, metadata text, byte_size bigint, created_at timestamptz NOT NULL
);
CREATE TABLE pictures (
    id uuid PRIMARY KEY, thing_id uuid NOT NULL REFERENCES things, name text NOT NULL,
    blob_id uuid NOT NULL REFERENCES blobs
);
CREATE INDEX ON pictures (thing_id);
CREATE INDEX ON pictures (blob_id);
INSERT INTO blobs SELECT gen_random_uuid(), format('template/image-%s.png', lpad(n::text, 4, '0')), NULL, NULL, now()
FROM generate_series(1, {IMAGES}) n;
INSERT INTO pictures
SELECT gen_random_uuid(), (SELECT min(id::text)::uuid FROM things), key, id FROM blobs;
"""


def blueprint() -> Json:
    """Return a blueprint of the small application with pictures."""
    images = {"attachments": "pictures", "blobs": "blobs", "slot": ["thing_id", "name"]}
    return {**small.blueprint(), "tables": [{"name": "things"}, {"name": "pictures"}], "images": images}


def secret(store: StandIn) -> Json:
    """Return the Secret with the store's key."""
    data = {"privateKey": store.private_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "imagekit"}, "stringData": data}


async def opened(stack: AsyncExitStack, clocks: Clocks) -> StandIn:
    """Start the store, with the template's images in it."""
    store = StandIn(limits=UNLIMITED, clock=lambda: clocks.now("api").timestamp())
    await stack.enter_async_context(store)
    store.add_images("/template", IMAGES)
    return store


def perturbed(seams: Seams) -> type[ImageKit]:
    """Return the adapter that images Jobs use, with its calls wrapped."""
    calls = {name: _wrapped(seams, name, getattr(ImageKit, name)) for name in CALLS}
    return type("PerturbedImageKit", (ImageKit,), calls)


def _wrapped(seams: Seams, name: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(store: ImageKit, *arguments: Any) -> Any:
        fault = await seams.meet(seams.cross("store", name))
        if fault is None or fault.action == "lost":
            result = await seams.run(lambda: original(store, *arguments))
        if fault is None:
            return result
        if fault.action not in ("fail", "lost"):
            raise ValueError(f"{fault.action!r} is nothing that happens to a call of the store")
        raise StoreUnavailableError("no answer from the store")

    return call
