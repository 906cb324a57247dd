"""Makes the quickstart's data: a small shop as CSV files, the same on every machine.

Usage: python jobs/quickstart/make_data.py [FOLDER]
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

CITIES = ("Lisbon", "Kraków", "Nairobi", "Osaka", "Québec", "São Paulo", "Tromsø", "Zürich")
NAMES = ("Ada", "Björn", "Chidi", "Dora", "Emeka", "Fatima", "Grace", "Hiro", "Inés", "Jürgen", "Keiko", "Łucja")
THINGS = ("compass", "lantern", "map", "rope", "saddle", "tarpaulin", "thermos", "toolbox", "wheel", "winch")
COLOURS = ("blue", "green", "red", "steel")


def write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(folder: Path) -> None:
    chance = random.Random(2026)
    folder.mkdir(parents=True, exist_ok=True)
    start = datetime(2026, 1, 1)

    customers = [
        (number, chance.choice(NAMES), chance.choice(CITIES), (start - timedelta(days=chance.randrange(900))).date())
        for number in range(1, 301)
    ]
    write(folder / "customers.csv", ("id", "name", "city", "since"), customers)

    products = [
        (f"{thing[:3]}-{colour[:2]}".upper(), f"{colour} {thing}", f"{chance.randrange(300, 20000) / 100:.2f}")
        for thing in THINGS
        for colour in COLOURS
    ]
    write(folder / "products.csv", ("sku", "name", "price"), products)

    orders = []
    placed = start
    for number in range(1, 3001):
        placed += timedelta(minutes=chance.randrange(1, 180))
        sku, _, price = chance.choice(products)
        quantity = chance.randrange(1, 6)
        orders.append(
            (number, chance.randrange(1, 301), sku, quantity, f"{quantity * float(price):.2f}", f"{placed:%Y-%m-%dT%H:%M:%SZ}")
        )
    write(folder / "orders.csv", ("id", "customer_id", "sku", "quantity", "amount", "placed_at"), orders)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
