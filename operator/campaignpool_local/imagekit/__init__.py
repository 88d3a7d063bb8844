"""A stand-in for ImageKit: its media library API in memory, for tests and the demo, with faults to switch on.

It is made after ImageKit's public documentation and is no part of ImageKit. Each rule names the page it is from,
below https://imagekit.io/docs: `api-overview`, or that of the operation in the API reference (`copy-file` and so on),
which ImageKit's OpenAPI document repeats, with the words of the errors. What no page says is marked as assumed; the
tests of this stand-in can be run against the real service to find out.

    async with ImageKit() as imagekit:
        client = imagekitio.AsyncImageKit(private_key=imagekit.private_key, base_url=imagekit.url)
        imagekit.seeded("/template", 800)
        imagekit.faults = Faults(rate_500=0.1)
"""

from campaignpool_local.imagekit.faults import Faults
from campaignpool_local.imagekit.rates import UNLIMITED, Limits, Rate
from campaignpool_local.imagekit.server import ImageKit

__all__ = ["UNLIMITED", "Faults", "ImageKit", "Limits", "Rate"]
