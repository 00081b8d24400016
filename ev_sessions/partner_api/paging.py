"""Reading a list that may change while it is read, until what was read agrees with the list's own count.

Pages go by offset, and neither the order nor the stability of the list is promised: records can repeat or slip through
between two pages. So a read is whole only when its distinct ids plus its rejected records equal the `total` that every one of
its pages named; otherwise the whole list is read again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from ev_sessions.partner_api.records import Page, SessionRecord
from ev_sessions.partner_api.rejected import Rejected

MOST_READS = 3
"""How often a list is read before its mismatch is believed, or given up."""

# Pages may get shorter while records complete or vanish. More than so many beyond what the first page promised is no paging.
_SPARE_PAGES = 2

PageAt = Callable[[int], Awaitable[Page]]


@dataclass(slots=True)
class ListRead:
    """One read of a list: its distinct records, the later version of a repeated one. `total` is None where it moved meanwhile."""

    total: int | None = None
    sessions: dict[UUID, SessionRecord] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    _rejected_ids: set[str] = field(default_factory=set)

    @property
    def records(self) -> int:
        """How many distinct records were read."""
        return len(self.sessions) + len(self.rejected)

    @property
    def matches(self) -> bool:
        """Whether every record that the list counts was read."""
        return self.records == self.total

    def take(self, page: Page) -> None:
        """Add what is new on `page`."""
        for session in page.sessions:
            self.sessions[session.id] = session
        for record in page.rejected:
            if record.record_id is None:
                self.rejected.append(record)
            elif record.record_id not in self._rejected_ids:
                self._rejected_ids.add(record.record_id)
                self.rejected.append(record)

    def is_like(self, other: ListRead) -> bool:
        """Whether both found the same records under the same total."""
        return (
            self.total is not None
            and self.total == other.total
            and self.sessions.keys() == other.sessions.keys()
            and [record.raw for record in self.rejected] == [record.raw for record in other.rejected]
        )


async def read_list(page_at: PageAt) -> list[ListRead]:
    """The reads of a list, of which `page_at` gives the page at an offset, until one is whole: `MOST_READS` at most."""
    reads: list[ListRead] = []
    while len(reads) < MOST_READS:
        reads.append(await _read_once(page_at))
        if reads[-1].matches:
            break
    return reads


async def _read_once(page_at: PageAt) -> ListRead:
    """One read, which ends at the total, or as soon as it cannot become whole any more."""
    read = ListRead()
    page = await page_at(0)
    total, offset = page.total, page.records
    read.take(page)
    for _ in range(_further_pages(page)):
        if offset >= total:
            break
        known = read.records
        page = await page_at(offset)
        if page.total != total:
            return read
        read.take(page)
        if read.records == known:
            break
        offset += page.records
    read.total = total
    return read


def _further_pages(first: Page) -> int:
    """How many pages may follow `first`: as many as its total needs at its length, and a few to spare."""
    return first.total // first.records + _SPARE_PAGES if first.records else 0
