"""Words that were read before give the same ids as the tokenizer does."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from runtimes.engine.parts import SharedTokenizer
from runtimes.engine.words import LEAST_NEW, LONGEST, Words, frame_of

pytestmark = pytest.mark.unit
PIECES = ["a", "b", "ab", "##a", "##b", "##ab", "pallet", "short", "##s", "u", "##u", "-", ".", "漢", "字", "[", "]"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES]
TRICKY = [*"ab uü.-\t\n\x1c\x0b\u3000\u00a0\u200b漢字Σς\u0308[]", "[SEP]", " [CLS] ", "pallets", "x" * 40, "ab" * 60]


def written() -> Tokenizer:
    """A tokenizer of the BERT kind."""
    pieces = {piece: index for index, piece in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def raw() -> bytes:
    return written().to_str().encode()


@pytest.mark.parametrize("most", [3, 8, 64])
def test_every_text_gives_what_the_tokenizer_gives(most: int) -> None:
    plain = written()
    plain.enable_truncation(most)
    shared = SharedTokenizer(raw(), most)
    draw = random.Random(most)
    for _ in range(3000):
        text = "".join(draw.choice(TRICKY) for _ in range(draw.randint(0, 30)))
        expected = plain.encode(text)
        assert shared.encode(text) == (expected.ids, bool(expected.overflowing)), repr(text)


def test_known_words_are_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = written()
    words = Words(tokenizer, [2], [3])
    first = words.encode("pallet short ab", 16)
    assert first == (tokenizer.encode("pallet short ab").ids, False)
    monkeypatch.setattr(words, "_tokenizer", None)  # whoever asks it fails
    assert words.encode("ab  short pallet pallet", 16) == ([2, 7, 12, 11, 11, 3], False)
    assert words.encode("ab ab ab ab", 5) == ([2, 7, 7, 7, 3], True)


def test_a_text_of_many_new_words_is_for_the_tokenizer() -> None:
    words = Words(written(), [2], [3])
    text = " ".join("a" * length for length in range(1, LEAST_NEW + 4))
    assert words.encode(text, 512) is None
    assert words.encode(text, 512) is not None  # some of them are known now


def test_numbers_are_read_and_not_kept() -> None:
    words = Words(written(), [2], [3])
    assert words.encode("ab 12 A1234", 64) == (written().encode("ab 12 A1234").ids, False)
    assert {"ab", "12"} < set(words._ids)
    assert "A1234" not in words._ids


def test_long_words_are_neither_kept_nor_cut_wrongly() -> None:
    words = Words(written(), [2], [3])
    long = "a" * (LONGEST + 1)
    assert words.encode(long, 512) is None
    assert words.read(long, 512) == (written().encode(long).ids, False)
    assert words.encode("a" * 10, 5) == ([2, *written().encode("a" * 10).ids[1:4], 3], True)


def test_only_so_many_words_are_kept() -> None:
    words = Words(written(), [2], [3], most=4)
    for length in range(1, 20):
        words.encode("a" * length, 64)
    assert len(words._ids) == 4
    assert words.encode("a", 64) == (written().encode("a").ids, False)


def test_threads_may_share_them() -> None:
    words = Words(written(), [2], [3], most=8)
    plain = written()
    texts = [
        " ".join(random.Random(seed).choices(["a", "b", "ab", "abab", "u", "pallets", "."], k=6)) for seed in range(40)
    ]
    expected = {text: plain.encode(text).ids for text in texts}
    wrong, read_here = [], []

    def read() -> None:
        for text in texts * 20:
            found = words.encode(text, 64)
            read_here.append(found is not None)
            if found is not None and found[0] != expected[text]:  # None: the tokenizer is asked
                wrong.append(text)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong
    assert any(read_here)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(TypeError):
        SharedTokenizer(raw(), 16).encode("a \ud800")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", None),
        ("normalizer", {"type": "Sequence", "normalizers": []}),
        ("pre_tokenizer", {"type": "Metaspace"}),
        ("model", {"type": "Unigram"}),
        ("post_processor", None),
        ("post_processor", {"type": "ByteLevel"}),
        ("post_processor", {"type": "TemplateProcessing", "single": [], "special_tokens": {}}),
        ("added_tokens", [{"content": "two words"}]),
        ("added_tokens", [{"content": "x", "single_word": True}]),
    ],
)
def test_a_tokenizer_that_may_look_beyond_a_word_is_always_asked(part: str, value: object) -> None:
    told = json.loads(raw())
    assert frame_of(told) == ([2], [3])
    assert frame_of(told | {part: value}) is None


def test_the_older_form_of_the_frame_is_known_too() -> None:
    processor = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
    assert frame_of(json.loads(raw()) | {"post_processor": processor}) == ([2], [3])


def test_engines_that_cut_at_other_lengths_share_one_tokenizer() -> None:
    def cutting(most: int) -> SharedTokenizer:
        tokenizer = written()
        tokenizer.enable_truncation(most)  # as the file of a workflow says
        return SharedTokenizer(tokenizer.to_str().encode(), most)

    short, long = cutting(5), cutting(16)
    assert short._words is long._words
    text = "pallet short ab ab ab ab"
    for shared, most in ((short, 5), (long, 16)):
        plain = written()
        plain.enable_truncation(most)
        assert shared.encode(text) == (plain.encode(text).ids, bool(plain.encode(text).overflowing))


def test_an_engine_file_is_read_once(tmp_path: Path) -> None:
    from runtimes.engine.parts import open_tokenizer

    (tmp_path / "tokenizer.json").write_bytes(raw())
    one, other = (open_tokenizer(tmp_path / "tokenizer.json", 16) for _ in range(2))
    assert one is other
