"""A pool of the sample application whose images are in a stand-in for ImageKit."""

from typing import Any

from campaignpool_local.imagekit import ImageKit
from tests.support.kube import Kube, eventually
from tests.support.operators import Game

IMAGES = 6
SECRET = "imagekit"
# The template has six images, in one folder of the store.
PREPARE = f"""
DELETE FROM active_storage_attachments WHERE id NOT IN (
    SELECT a.id FROM active_storage_attachments a
    JOIN weapons w ON a.record_type = 'Weapon' AND a.record_id = w.id AND w.active
    JOIN campaigns c ON c.id = w.campaign_id AND c.is_master_template ORDER BY a.id LIMIT {IMAGES});
DELETE FROM active_storage_blobs WHERE id NOT IN (SELECT blob_id FROM active_storage_attachments);
UPDATE active_storage_blobs b SET key = n.path, filename = split_part(n.path, '/', 2) FROM (
    SELECT id, 'template/image-' || lpad(row_number() OVER (ORDER BY id)::text, 4, '0') || '.png' AS path
    FROM active_storage_blobs) n
WHERE n.id = b.id
"""


class ImagesGame(Game):
    """A game whose images are in a store."""

    def __init__(self, kube: Kube, url: str, store: ImageKit) -> None:
        super().__init__(kube, url)
        self.store, self.folder = store, f"/campaigns/{self.namespace}"
        self.put_secret()

    def put_key(self) -> None:
        body = {"metadata": {"name": SECRET}, "stringData": {"privateKey": self.store.private_key}}
        self.kube.create(self.secrets, body)

    def begin(self, images: dict[str, Any] | None = None, **spec: Any) -> None:
        """Create the pool."""
        given = {
            "strategy": "CopyEach",
            "secretRef": {"name": SECRET},
            "endpoint": self.store.url,
            "folder": self.folder,
            "requestsPerSecond": 1000,
            "burst": 1000,
        }
        self.create(images={**given, **(images or {})}, **spec)

    def images(self) -> tuple[int, int, int]:
        """Pending, copied and failed."""
        images = self.status().get("images", {})
        return images.get("pending", -1), images.get("copied", -1), images.get("failed", -1)

    def counted(self, pending: int, copied: int, failed: int) -> None:
        eventually(lambda: self.images() == (pending, copied, failed), f"{(pending, copied, failed)}; {self.key}")

    def retry(self, value: str) -> None:
        self.kube.patch(self.path, {"metadata": {"annotations": {"campaignpool.dev/retry-images": value}}})

    def copies(self) -> list[str]:
        """Files below the pool's folder in the store."""
        return [f"{file.path}/{file.name}" for file in list(self.store.files) if file.path.startswith(self.folder)]

    def images_jobs(self) -> list[dict[str, Any]]:
        labels = "app.kubernetes.io/component"
        return [job for job in self.jobs() if job["metadata"]["labels"][labels] == "images"]

    def attachments(self, campaign: object) -> int:
        query = """SELECT count(*) FROM active_storage_attachments a JOIN weapons w ON w.id = a.record_id
                   WHERE a.record_type = 'Weapon' AND w.campaign_id = $1::text::uuid"""
        count: int = self.fetch(query, str(campaign))[0][0]
        return count
