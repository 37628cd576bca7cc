"""A small library of procedures, an embedder made of words alone, and packs of them."""

from __future__ import annotations

import gc
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import PackConfig, Passage, dump
from fleet_manifests.knowledge import PACK_FILE
from pipelines.steps.pack_files import write
from runtimes.knowledge import Pack, encrypt_files, open_pack
from runtimes.knowledge.spill import Spill, SpilledBlob

DIMENSION = 48
RETRIEVER = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
TODAY = date(2026, 3, 2)

SECTIONS = {
    ("WH-017", "Putaway", "Before you start"): "Check the forks and the horn. Put on your vest before you drive.",
    ("WH-017", "Putaway", "Putting a pallet away"): "1. Scan the licence plate.\n2. Drive to the location shown.",
    (
        "WH-017",
        "Putaway",
        "When the location is full",
    ): "Press F6 and choose *occupied*. The system offers another slot.",
    ("WH-021", "Receiving", "Unloading a trailer"): "Chock the wheels. Take the pallets off from the door inwards.",
    ("WH-021", "Receiving", "Counting cartons"): "Count every carton twice. Write the difference on the delivery note.",
    ("CC-002", "Cold chain", "Reading the probe"): "Read the probe of the chill room every 2 hours and note it down.",
    ("CC-002", "Cold chain", "A warm load"): "A load above 8 °C is refused. The driver takes it back.",
    ("HS-004", "Battery charging", "Charging"): "Put the truck on charge at 20 per cent. Wear goggles and gloves.",
}


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts to unit vectors: the sum of one random vector a word, so that texts with common words are near."""
    rows = []
    for text in texts:
        words = re.findall(r"\w+", text.lower()) or ["?"]
        vectors = [np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMENSION) for word in words]
        total = np.sum(vectors, axis=0)
        rows.append(total / np.linalg.norm(total))
    return np.array(rows, dtype=np.float32).reshape(len(rows), DIMENSION)


def passage(name: str, text: str = "Scan the label and drive on.", **fields: Any) -> Passage:
    """A passage `document/section`."""
    document, _, section = name.partition("/")
    made = {
        "id": name,
        "document": document.upper(),
        "title": f"Title of {document}",
        "section": (section,),
        "text": text,
    }
    return Passage.model_validate(made | fields)


def procedures() -> list[Passage]:
    """The small library, not in the order of ids."""
    return [
        Passage(
            id=f"{document.lower()}/{re.sub('[^a-z]+', '-', section.lower())}",
            document=document,
            title=title,
            revision="3",
            section=(section,),
            owner="Shift lead",
            effective_from=date(2025, 1, 1),
            review_by=date(2027, 1, 1),
            text=text,
        )
        for (document, title, section), text in reversed(SECTIONS.items())
    ]


def spilled(raw: bytes) -> SpilledBlob:
    """Bytes to be read in pieces."""
    spill = Spill()
    spill.write(raw)
    return spill.blob()


def open_files() -> int:
    """How many files this process holds open."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


class Asker:
    """A pack, and questions embedded as its passages were."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    def search(self, question: str, **options: Any) -> Any:
        return self.pack.search(embed([question])[0], question, **options)

    def ids(self, question: str, **options: Any) -> list[str]:
        return [hit.passage.id for hit in self.search(question, **options).hits]


def write_pack(
    folder: Path, passages: Sequence[Passage], vectors: NDArray[np.float32] | None = None, **config: Any
) -> Path:
    """A pack in a folder; keywords go to `pack.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = embed([one.content for one in passages]) if vectors is None else vectors
    digest = write(passages, vectors, folder)
    fields = {
        "workflow": "sop_assistant", "profile": "edge-test", "site_class": "warehouse", "retriever": RETRIEVER,
        "library": digest, "passages": len(passages), "dimension": vectors.shape[1],
    }  # fmt: skip
    (folder / PACK_FILE).write_bytes(dump(PackConfig.model_validate(fields | config)))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small library as a pack."""
    return write_pack(tmp_path / "pack", procedures())


@pytest.fixture
def asker(folder: Path) -> Asker:
    """The same, open."""
    return Asker(open_pack(folder, retriever=RETRIEVER))


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Asker]:
    """Makes and opens a pack of given passages."""

    def make(passages: Sequence[Passage], vectors: NDArray[np.float32] | None = None, **config: Any) -> Asker:
        made = write_pack(tmp_path / f"pack-{len(list(tmp_path.iterdir()))}", passages, vectors, **config)
        return Asker(open_pack(made, retriever=RETRIEVER))

    return make


@pytest.fixture(scope="session")
def key() -> Any:
    """The secret key of a class of sites."""
    from pyrage import x25519

    return x25519.Identity.generate()


@pytest.fixture
def sealed(folder: Path, key: Any) -> Path:
    """The small library as an encrypted pack."""
    config = PackConfig.model_validate_json((folder / PACK_FILE).read_bytes())
    encrypt_files(folder, str(key.to_public()))
    (folder / PACK_FILE).write_bytes(dump(config.model_copy(update={"encrypted": True})))
    return folder
