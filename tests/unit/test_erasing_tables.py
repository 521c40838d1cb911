"""No table is forgotten: each either holds nothing of customers, or is emptied of them and told in the export."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import JSONB

from store.customers import Customer
from store.erasing_fence import hash_external_id
from store.erasing_names import names_of
from store.erasing_tables import (
    BY_OTHERS,
    KEPT,
    KEPT_WORDS,
    LONG,
    NAMING,
    NOTHING,
    OWN,
    TOMBSTONES,
    tables_of_customers,
    tables_of_runs,
)
from store.exporting import FOUND_BY_OTHERS, RUN_SECTIONS, SECTIONS
from store.tables import metadata

OF_CUSTOMERS = {table.name for table in tables_of_customers()}
OF_RUNS = {table.name for table in tables_of_runs()}


def test_every_table_is_in_exactly_one_group() -> None:
    groups = [
        OF_CUSTOMERS,
        OF_RUNS,
        set(KEPT),
        set(NAMING),
        set(BY_OTHERS),
        set(NOTHING),
        {OWN},
        {TOMBSTONES},
    ]
    listed = sorted(name for group in groups for name in group)
    assert listed == sorted(metadata.tables)


def test_what_holds_nothing_of_customers_names_none() -> None:
    for name in NOTHING:
        assert not {"customer_id", "run_id", "external_id"} & set(metadata.tables[name].c.keys()), name


def test_whatever_has_a_customer_has_a_section_in_the_export() -> None:
    with_customer = {table.name for table in metadata.sorted_tables if "customer_id" in table.c}
    assert with_customer == set(SECTIONS)
    assert set(RUN_SECTIONS) == OF_RUNS
    told = {table for table, *_ in FOUND_BY_OTHERS.values()}
    # What is found of a customer by words alone and says nothing more than that they were named.
    assert (set(NAMING) | {"delivery_reports"}) - told == {
        "alerts",
        "comparisons",
        "providers",
        "saved_views",
    }
    names = [section.name for section in (*SECTIONS.values(), *RUN_SECTIONS.values())] + list(FOUND_BY_OTHERS)
    assert len(names) == len(set(names))


def test_of_what_stays_every_word_is_known_to_be_nobodys() -> None:
    for name, change in KEPT.items():
        words = {c.name for c in metadata.tables[name].columns if isinstance(c.type, Text | JSONB)}
        assert {word for word in words if f"{word} =" not in change} <= KEPT_WORDS, name


def test_sections_and_long_tables_name_columns_that_there_are() -> None:
    for table, section in {**SECTIONS, **RUN_SECTIONS}.items():
        columns = set(metadata.tables[table].c.keys())
        assert {name.strip() for name in section.order.split(",")} <= columns, table
        assert set(section.without) <= columns, table
    for table, key in LONG.items():
        assert set(key) == set(metadata.tables[table].primary_key.columns.keys())


def test_a_customer_is_found_by_id_address_and_number_but_not_in_other_words() -> None:
    names = names_of(
        Customer(
            "5f0f5c1e-6a1b-4d0e-9a55-70e8f1a9b0d3",
            "shop-17",
            {"email": "a.b@x.io", "phone": "+1 (500) 555-0009"},
            False,
        )
    )
    said = re.compile(names.pattern, re.IGNORECASE)
    for text in ('{"userId": "shop-17"}', "to A.B@x.io", "From=a.b%40x.io", "From=%2B15005550009"):
        assert said.search(text), text
    for text in ('{"userId": "shop-170"}', "workshop-17", "aXb@x.io", "5550009"):
        assert not said.search(text), text


@pytest.mark.parametrize(
    ("text", "found"), [('{"userId": "7"}', True), ('{"count": 7}', False), ("x 7 y", False)]
)
def test_a_short_id_is_looked_for_where_it_stands_as_a_text(text: str, found: bool) -> None:
    names = names_of(Customer("5f0f5c1e-6a1b-4d0e-9a55-70e8f1a9b0d3", "7", {}, False))
    assert bool(re.search(names.pattern, text)) is found


def test_the_hash_of_an_id_is_no_hash_of_an_address() -> None:
    assert hash_external_id("ada@example.com") == hash_external_id("ada@example.com")
    assert hash_external_id("ada@example.com") != hash_external_id("Ada@example.com")
