"""A stand-in for ImageKit: its media library API in memory, with optional faults, for tests and the demo.

It follows ImageKit's public documentation and is not part of ImageKit. Each rule names its page below
https://imagekit.io/docs: `api-overview`, or the operation's page in the API reference (such as `copy-file`), which
ImageKit's OpenAPI document repeats with the error messages. Behaviour that no page documents is marked as assumed;
the tests of this stand-in can run against the real service to verify it.

    async with ImageKit() as imagekit:
        client = imagekitio.AsyncImageKit(private_key=imagekit.private_key, base_url=imagekit.url)
        imagekit.add_images("/template", 800)
        imagekit.faults = Faults(rate_500=0.1)
"""

from campaignpool_local.imagekit.faults import Faults
from campaignpool_local.imagekit.rates import UNLIMITED, Limits, Rate
from campaignpool_local.imagekit.server import ImageKit

__all__ = ["UNLIMITED", "Faults", "ImageKit", "Limits", "Rate"]
