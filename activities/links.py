"""The links that texts may hold: unsubscribe, preferences, and booking a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.link_token import LinkKey, LinkToken
from schemas.settings import Settings, is_web_address

# The trait of a customer's profile that says where their CSM takes bookings.
BOOKING_TRAIT = "booking_url"


@dataclass(frozen=True)
class LinkMaker:
    """Makes links that lead to the web process at `public_url`; without a key there are none but `booking`.

    booking_url: where calls are booked with those whose profile names no place of its own; where there is none, a
    customer who has a CSM books on our own page.
    """

    key: LinkKey | None = None
    public_url: str = ""
    booking_url: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> LinkMaker:
        """As the environment says."""
        key = LinkKey(settings.secret_key) if settings.secret_key else None
        return cls(key, settings.public_url, settings.booking_url)

    def make(
        self,
        customer_id: str,
        profile: Mapping[str, object],
        *,
        channel: str = "",
        topic: str | None = None,
        delivery: str | None = None,
    ) -> Mapping[str, str]:
        """What templates find under `links`, the same for every attempt at the same message.

        customer_id: our UUID. Without a channel (in what is no message) `unsubscribe` means all of them.
        """
        links = {}
        if self.key:
            from_this = LinkToken("unsubscribe", customer_id, channel, topic or "", delivery)
            wishes = LinkToken("preferences", customer_id, delivery_id=delivery)
            links["unsubscribe"] = f"{self.public_url}/u/{self.key.sign(from_this)}"
            links["preferences"] = f"{self.public_url}/preferences/{self.key.sign(wishes)}"
        own = profile.get(BOOKING_TRAIT)
        booking = own.strip() if isinstance(own, str) and is_web_address(own.strip()) else self.booking_url
        if not booking and self.key and profile.get("csm"):
            book = LinkToken("book", customer_id, delivery_id=delivery)
            booking = f"{self.public_url}/book/{self.key.sign(book)}"
        if booking:
            links["booking"] = booking
        return links


NO_LINKS = LinkMaker()
# For what is only tried out: links as long as real ones, which lead nowhere and which nobody takes for good.
EXAMPLE_LINKS = LinkMaker(
    LinkKey("an-example-which-signs-nothing-that-counts"),
    "https://example.invalid",
    "https://example.invalid/booking",
)
