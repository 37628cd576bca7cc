"""Master data: what the distributor sells, to whom, from whom, and where it lies."""

from __future__ import annotations

from sample.clock import stamp
from sample.dice import Dice

Row = tuple[object, ...]
Tables = dict[str, list[Row]]

WAREHOUSES = (("dc-north", "Leeds"), ("dc-south", "Bristol"))
BRANCHES = (
    ("branch-01", "Newcastle"), ("branch-02", "Sheffield"), ("branch-03", "Hull"), ("branch-04", "Derby"),
    ("branch-05", "Norwich"), ("branch-06", "Cardiff"), ("branch-07", "Exeter"), ("branch-08", "Reading"),
    ("branch-09", "Swindon"), ("branch-10", "Dover"),
)  # fmt: skip
CITIES = (
    *(city for _, city in WAREHOUSES + BRANCHES),
    "Preston", "Carlisle", "Lincoln", "Luton", "Poole", "Truro", "Wigan", "York", "Oban", "Ghent",
)  # fmt: skip
CARRIERS = ("Nordline", "Parcelfox", "Haulmark", "TransEast", "Swiftway", "Bluevan")

PRODUCTS = {
    "safety": ("nitrile gloves", "welding visors", "ear plugs", "hi-vis vests", "safety boots", "dust masks"),
    "fluid": ("hydraulic hoses", "ball valves", "gear pumps", "pipe clamps", "filter cartridges", "quick couplings"),
    "fastening": ("hex bolts", "wall anchors", "threaded rods", "self tapping screws", "rivets", "lock washers"),
    "electrical": ("LED floodlights", "cable reels", "contactors", "pressure sensors", "fuse boxes", "motor starters"),
    "chemical": ("brake cleaner", "two pack epoxy", "degreaser", "battery acid", "silicone sealant", "zinc spray"),
    "tools": ("cordless drills", "torque wrenches", "cutting discs", "ratchet straps", "hand trucks", "step ladders"),
    "packing": ("stretch film", "pallet collars", "paper tape", "bubble wrap", "mailing tubes", "edge protectors"),
}
_HAZARDS = {
    "brake cleaner": ("2.1", "UN1950"), "two pack epoxy": ("3", "UN1263"), "battery acid": ("8", "UN2796"),
    "degreaser": ("3", "UN1993"), "zinc spray": ("2.1", "UN1950"), "cordless drills": ("9", "UN3481"),
}  # fmt: skip
"""Hazard class and UN number of the products that have one."""
_SIZES = ("S", "M", "L", "XL", "6mm", "10mm", "25mm", "1/2in", "400g", "5l", "20l", "230V", "pro", "eco", "long")
_FIRST = ("Alex", "Bea", "Carl", "Dina", "Erik", "Fay", "Gus", "Hana", "Ivan", "Jo", "Kim", "Lars", "Mina", "Nils",
          "Olga", "Piet", "Rosa", "Sven", "Tess", "Umar", "Vera", "Will", "Yara", "Zoe")  # fmt: skip
_LAST = ("Ashdown", "Birk", "Calloway", "Drost", "Eastman", "Fenwick", "Garside", "Holm", "Ingram", "Jansen", "Kerr",
         "Lund", "Marlow", "Novak", "Oakes", "Pryce", "Quist", "Rudd", "Sorel", "Thorn", "Vance", "Wolf")  # fmt: skip
_TRADES = ("Engineering", "Motors", "Builders", "Fabrication", "Marine", "Farm Supply", "Foods", "Plant Hire",
           "Electrical", "Joinery", "Cooling", "Logistics")  # fmt: skip


def master_data(seed: int, *, items: int = 1_200, customers: int = 600, suppliers: int = 60) -> Tables:
    """Everything that exists before the first order; `updated_at` lies before the first day."""
    dice = Dice(seed, "master")
    bins = _bins()
    vendors = _suppliers(dice, suppliers)
    goods = _items(dice, items, [str(row[0]) for row in vendors])
    return {
        "warehouses": [(key, f"DC {city}", city, stamp(-30)) for key, city in WAREHOUSES],
        "branches": [
            (key, WAREHOUSES[number // 5][0], f"{city} branch", city, stamp(-30))
            for number, (key, city) in enumerate(BRANCHES)
        ],
        "bins": bins,
        "suppliers": vendors,
        "items": goods,
        "item_substitutes": _substitutes(dice, goods),
        "customers": _customers(dice, customers),
        "stock": _stock(dice, goods, bins),
    }


def _bins() -> list[Row]:
    """Bins of both warehouses: `N` or `S`, aisle, rack, level."""
    return [
        (f"{key[3].upper()}{aisle:02}-{rack:02}-{level}", key, aisle, "pick" if level < 3 else "bulk", stamp(-30))
        for key, _ in WAREHOUSES
        for aisle in range(1, 13)
        for rack in range(1, 21)
        for level in range(1, 5)
    ]


def _person(dice: Dice, company: str) -> tuple[str, str]:
    """A name and an address in a domain that can never exist."""
    first, last = dice.pick(_FIRST), dice.pick(_LAST)
    domain = "".join(letter for letter in company.lower() if letter.isalnum())
    return f"{first} {last}", f"{first}.{last}@{domain}.example".lower()


def _suppliers(dice: Dice, count: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        name = f"{dice.pick(_LAST)} {dice.pick(('Works', 'Industries', 'Trading', 'Chemie', 'Metals'))}"
        lead_time = dice.pick((3, 5, 7, 10, 14, 21, 35, 60))
        rows.append((f"V{2001 + number}", name, dice.pick(CITIES), lead_time, *_person(dice, name), stamp(-20)))
    return rows


def _items(dice: Dice, count: int, suppliers: list[str]) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        category = dice.pick(tuple(PRODUCTS))
        product = dice.pick(PRODUCTS[category])
        item_id = f"{category[:2].upper()}-{10_000 + 7 * number + dice.between(0, 6)}"
        hazard, un_number = _HAZARDS.get(product, (None, None))
        price = round(1 + float(dice.rng.lognormal(2.6, 0.9)), 2)
        unit, size = dice.pick((("pc", 1), ("box", 10), ("ctn", 24), ("box", 100), ("roll", 6), ("pail", 1)))
        weight = round(float(dice.rng.lognormal(0.2, 0.8)), 3)
        cost = round(price * (0.55 + 0.2 * float(dice.rng.random())), 2)
        rows.append((item_id, f"{product} {dice.pick(_SIZES)}", category, "pc", unit, size, hazard, un_number, weight,
                     dice.pick(suppliers), price, cost, stamp(-20)))  # fmt: skip
    return rows


def _substitutes(dice: Dice, items: list[Row]) -> list[Row]:
    """For two of three items, others of the same category and unit."""
    alike: dict[tuple[object, object], list[object]] = {}
    for item in items:
        alike.setdefault((item[2], item[4]), []).append(item[0])
    rows: list[Row] = []
    for item in items:
        others = [other for other in alike[item[2], item[4]] if other != item[0]]
        for preference in range(1, min(dice.between(0, 2), len(others)) + 1):
            other = others.pop(dice.between(0, len(others) - 1))
            rows.append((len(rows) + 1, item[0], other, preference, stamp(-20)))
    return rows


def _customers(dice: Dice, count: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        name = f"{dice.pick(_LAST)} {dice.pick(_TRADES)}"
        contact, email = _person(dice, name)
        # Numbers that the British regulator keeps free for fiction.
        phone = dice.pick(("020 7946 0{:03}", "+44 20 7946 0{:03}", "0113 496 0{:03}")).format(dice.between(0, 999))
        segment = dice.weighted(("trade", "industry", "public", "key account"), (5, 3, 1, 1))
        discount = dice.pick((0.0, 0.0, 2.5, 5.0, 7.5, 10.0, 15.0))
        rows.append((f"C{30_001 + number}", name, segment, dice.pick(BRANCHES)[0], dice.pick(CITIES), contact, email,
                     phone, dice.pick((0, 14, 30, 30, 45, 60)), dice.between(2, 80) * 1000, discount,
                     stamp(-20)))  # fmt: skip
    return rows


def _stock(dice: Dice, items: list[Row], bins: list[Row]) -> list[Row]:
    """One to three bins an item."""
    rows: list[Row] = []
    for item in items:
        for _ in range(dice.between(1, 3)):
            on_hand = int(dice.rng.gamma(1.5, 60))
            reserved = on_hand // dice.between(3, 9)
            rows.append((len(rows) + 1, item[0], dice.pick(bins)[0], on_hand, reserved, stamp(-1)))
    return rows
