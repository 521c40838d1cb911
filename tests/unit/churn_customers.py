"""Customers whose churn follows a known law: curved in logins, twofold in plan and tickets, with gaps."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from scoring.churning.columns import Column, Floats, Numbers, categories_of
from scoring.churning.solving import sigmoid


def make_customers(rows: int, seed: int = 7) -> tuple[dict[str, Column], Floats]:
    """A table and who churned, about one in five."""
    rng = np.random.default_rng(seed)
    logins = rng.poisson(6, rows).astype(float)
    tickets = rng.exponential(2.0, rows)
    price = rng.lognormal(4, 0.5, rows).round(2)
    plan = rng.choice(["basic", "pro", "enterprise"], rows, p=[0.6, 0.3, 0.1])
    city = np.array([f"city{number}" for number in rng.integers(0, 30, rows)])
    chances = sigmoid(
        -2.2 + 2.2 * (logins < 3) - 0.25 * (logins - 6) + np.where(plan == "pro", 1.0, -0.3) * (tickets - 2)
    )
    outcome = (rng.random(rows) < chances).astype(float)
    price[rng.random(rows) < 0.1] = np.nan
    table: dict[str, Column] = {
        "logins": Numbers(logins),
        "tickets": Numbers(tickets),
        "price": Numbers(price),
        "plan": categories_of([str(one) for one in plan]),
        "city": categories_of([str(one) for one in city]),
    }
    return table, outcome


def write_customers(path: Path, rows: int, seed: int = 7) -> Path:
    """The same as a CSV file with an id, a customer of two rows each, a month, and the label."""
    table, outcome = make_customers(rows, seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "customer", "month", *table, "churned"])
        for row in range(rows):
            values = []
            for column in table.values():
                if isinstance(column, Numbers):
                    values.append("" if np.isnan(column.values[row]) else repr(float(column.values[row])))
                else:
                    values.append(column.levels[column.codes[row]])
            month = f"2026-{1 + 12 * row // rows:02d}-01"
            writer.writerow(
                [f"r{row}", f"c{row % (rows // 2)}", month, *values, "yes" if outcome[row] else "no"]
            )
    return path
