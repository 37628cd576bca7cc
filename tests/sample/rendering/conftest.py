from __future__ import annotations

import pytest

PROCEDURE = """\
---
document: WH-017
title: Putaway of palletised goods
revision: 4
owner: Inbound supervisor
effective_from: 2025-03-01
review_by: 2029-03-01
site_classes: [warehouse, branch]
data_class: internal
format: docx
---

# Putaway of palletised goods

From the dock to the rack at 5 °C & below, **never** by hand.

## Before you start

- Wear boots.
- Check the truck:
  1. forks
  2. horn

## Putting a pallet away

1. Scan the licence plate of the pallet and wait for the code of the location to come up on the display, then read it
   aloud to whoever works the aisle with you.
2. Drive to `A-12-03-B`.

| Code | Meaning |
|---|---|
| A1 | **Full** location |
| B2 | Wrong \\| other |

### When the location is occupied

1. Stop.
2. Tell the lead.
3. Wait.
"""


@pytest.fixture
def procedure() -> str:
    return PROCEDURE
