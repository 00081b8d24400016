"""What a step that changed derived tables does at its end: publish them for readers, and tell what that took."""

import time

from ev_sessions.resources import WarehouseResource


def published(warehouse: WarehouseResource) -> dict[str, object]:
    """Publish what changed, and give the figures of it, as `tell_run` takes them. Raises as `WarehouseResource.publish` does."""
    began = time.monotonic()
    publication = warehouse.publish()
    return {
        "publish_seconds": time.monotonic() - began,
        "published_files": publication.files,
        "published_months": publication.months,
        "published_bytes": publication.bytes,
    }
