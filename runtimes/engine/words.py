"""Token ids of words that were seen before, for tokenizers that read one word after the other.

A tokenizer of the BERT kind takes 2 us for a word: a thirtieth of an int8 encoder's time. It cleans, splits and looks
up every word by itself, so a text's ids are those of its words in turn, and the words of a workflow are few. Only a
tokenizer whose parts are all known to work word by word is served from here; any other is asked each time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from fleet_manifests import digest_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST = 8192
"""Words that are kept: about 1.5 MB."""
LONGEST = 32
"""Characters of a word that is kept."""
SHARE_NEW = 0.35
"""Of a text's words that may be new to be looked up one by one; a text of more new words is read as a whole."""
LEAST_NEW = 4
"""As many may be new in any text, and are learned from a text of more."""
SHORT = 3
"""Characters of a word with a digit that is kept: quantities come again, numbers of orders do not."""


class Words:
    """A tokenizer that neither cuts nor pads, and the words that it has read. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, first: Sequence[int], last: Sequence[int], most: int = MOST) -> None:
        """Start with none.

        Args:
            tokenizer: reads word by word (`frame_of`), and the whole text.
            first: ids before a text.
            last: ids after a text.
            most: words that are kept.
        """
        self._tokenizer = tokenizer
        self._first, self._last = tuple(first), tuple(last)
        self._most = most
        self._ids: dict[str, tuple[int, ...]] = {"": ()}
        self._changing = threading.Lock()

    @property
    def frame(self) -> int:
        """Special tokens around a text."""
        return len(self._first) + len(self._last)

    def encode(self, text: str, max_tokens: int) -> tuple[list[int], bool] | None:
        """Token ids, special ones included, and whether the text was cut; None: too much of it is new, `read` it.

        Raises:
            TypeError: a word is not valid Unicode.
        """
        words = text.split(" ")
        known = self._ids
        found = [known.get(word) for word in words]
        if None in found:
            new = [place for place, ids in enumerate(found) if ids is None]
            most = max(LEAST_NEW, int(SHARE_NEW * len(words)))
            for place in new[:most]:
                found[place] = self._learn(words[place])
            if None in found:
                return None
        return self._framed(list(chain(self._first, *found)), max_tokens)  # type: ignore[arg-type]

    def read(self, text: str, max_tokens: int) -> tuple[list[int], bool]:
        """The same for any text, by the tokenizer itself.

        Raises:
            TypeError: the text is not valid Unicode.
        """
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._framed([*self._first, *ids], max_tokens)

    def _framed(self, ids: list[int], max_tokens: int) -> tuple[list[int], bool]:
        """Ids after those that come first, cut where there are too many, and those that come last."""
        room = max_tokens - len(self._last)
        cut = len(ids) > room
        del ids[room:]
        ids.extend(self._last)
        return ids, cut

    def _learn(self, word: str) -> tuple[int, ...] | None:
        """The ids of a word, mostly kept for the next time in the place of the oldest one; None: it is too long."""
        if len(word) > LONGEST:
            return None
        ids = tuple(self._tokenizer.encode(word, add_special_tokens=False).ids)
        if len(word) > SHORT and any(map(str.isdigit, word)):
            return ids
        with self._changing:
            if len(self._ids) >= self._most:
                del self._ids[next(iter(self._ids))]
            self._ids[word] = ids
        return ids


_open: WeakValueDictionary[str, Words] = WeakValueDictionary()
"""Those in use, by digest of what the `tokenizer.json` says but for cutting and padding."""
_opening = threading.Lock()


def open_words(raw: bytes) -> Words | None:
    """The words of a `tokenizer.json`, in memory once, whatever lengths its texts are cut at (a tokenizer takes 8 MB).

    None: it does not read word by word.

    Raises:
        ValueError: it is not a tokenizer.
    """
    from tokenizers import Tokenizer

    told = json.loads(raw)
    if not isinstance(told, dict):
        raise ValueError("an object was expected")
    around = frame_of(told)
    if around is None:
        return None
    key = digest_of(json.dumps(told | {"truncation": None, "padding": None}).encode())
    with _opening:
        found = _open.get(key)
        if found is None:
            tokenizer = Tokenizer.from_buffer(raw)
            tokenizer.no_padding()
            tokenizer.no_truncation()
            found = _open[key] = Words(tokenizer, *around)
    return found


def frame_of(told: Mapping[str, Any]) -> tuple[list[int], list[int]] | None:
    """The ids before and after a text by a `tokenizer.json` that reads word by word; None where it does not.

    Spaces must be what `BertPreTokenizer` splits at, and no part may look beyond a word: `BertNormalizer`,
    `WordPiece`, a template of special tokens around the text, added tokens without spaces.
    """
    parts = {name: (told.get(name) or {}).get("type") for name in ("normalizer", "pre_tokenizer", "model")}
    if parts != {"normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece"}:
        return None
    if any(" " in one["content"] or one.get("single_word") for one in told.get("added_tokens") or ()):
        return None
    return _around(told.get("post_processor") or {})


def _around(processor: dict[str, Any]) -> tuple[list[int], list[int]] | None:
    """The special tokens that a template puts before and after one text."""
    if processor.get("type") == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    if processor.get("type") != "TemplateProcessing":
        return None
    around: tuple[list[int], list[int]] = ([], [])
    place = 0
    for piece in processor["single"]:
        if "Sequence" in piece:
            place += 1
        else:
            around[min(place, 1)].extend(processor["special_tokens"][piece["SpecialToken"]["id"]]["ids"])
    return around if place == 1 else None
