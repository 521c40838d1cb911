"""Who may come in, what they did, how they like their pages, and who is to be forgotten."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, instant, metadata, one_of

_NEW_ID = text("gen_random_uuid()")


def _person(name: str = "person_id") -> Column[object]:
    """The person whom a row lets in; it goes when they do."""
    return Column(name, UUID(as_uuid=False), ForeignKey("people.id", ondelete="CASCADE"), nullable=False)


# Whoever works here: signs in by a password, by a link, or by an identity provider.
people = Table(
    "people",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True, server_default=_NEW_ID),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("oidc_issuer", Text),
    Column("oidc_subject", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", instant(), nullable=False),
    Column("signed_in_at", instant()),
    one_of("role", "role", "csm", "ops", "admin"),
    Index("people_email_idx", text("lower(email)"), unique=True),
    Index("people_oidc_idx", "oidc_issuer", "oidc_subject", unique=True),
)

# Browsers that are signed in, by the hash of the cookie's token.
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _person(),
    Column("csrf", Text, nullable=False),
    Column("created_at", instant(), nullable=False),
    Column("seen_at", instant(), nullable=False),
    Column("expires_at", instant(), nullable=False),
    Column("agent", Text, nullable=False, server_default=""),
    # How its owner was let in: password, link, identity_provider; empty where that wasn't noted.
    Column("way", Text, nullable=False, server_default=""),
    Index("sessions_person_id_idx", "person_id"),
    Index("sessions_expires_at_idx", "expires_at"),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _person(),
    Column("expires_at", instant(), nullable=False),
    Column("used_at", instant()),
    # Whether whoever uses it chooses a password; a link of `holdfast dev` signs in at once.
    Column("sets_password", Boolean, nullable=False, server_default=text("true")),
)

# By the hash of an account or of an address, so that the table says of nobody that they tried.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("subject_hash", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", instant(), nullable=False),
    Column("blocked_until", instant()),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("secret_hash", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", instant(), nullable=False),
    Column("role", Text, nullable=False, server_default="service"),
    # None: the process's limit.
    Column("per_minute", Integer),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("expires_at", instant()),
    one_of("role", "role", "csm", "ops", "admin", "service"),
)

# Every change that somebody made: who, what, how it was, how it is.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", instant(), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("request_id", Text, nullable=False, server_default=""),
    Index("audit_log_at_idx", "at"),
    Index("audit_log_object_idx", "object_kind", "object_id", "at"),
    Index("audit_log_actor_idx", "actor_id", "at"),
)

# Filters, sorting and columns of a page as somebody likes them; `owner` is a principal's id.
saved_views = Table(
    "saved_views",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True, server_default=_NEW_ID),
    Column("owner", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", JSONB, nullable=False),
    Column("shared", Boolean, nullable=False, server_default=text("false")),
    # What the page opens with.
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("at", instant(), nullable=False),
    UniqueConstraint("owner", "page", "name", name="saved_views_owner_key"),
    Index("saved_views_default_key", "owner", "page", unique=True, postgresql_where=text("is_default")),
)

# Customers who are to be forgotten: our random id and a hash outlive them, so that a restored backup is cleaned too.
erasures = Table(
    "erasures",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True, server_default=_NEW_ID),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("external_id_hash", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("requested_at", instant(), nullable=False),
    Column("state", Text, nullable=False),
    Column("finished_at", instant()),
    # From then on a new event of the same external id makes a new customer.
    Column("allowed_again_at", instant()),
    Column("detail", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    one_of("state", "state", "fenced", "cancelling", "erasing", "done"),
    Index("erasures_customer_id_idx", "customer_id"),
    Index("erasures_external_id_hash_idx", "external_id_hash"),
    Index("erasures_unfinished_idx", "requested_at", postgresql_where=text("state <> 'done'")),
)
