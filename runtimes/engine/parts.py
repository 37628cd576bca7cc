"""The two parts of an engine, opened from files: a tokenizer and an ONNX Runtime session.

Every exception of `tokenizers` and `onnxruntime` becomes one of ours here.

What three int8 builds of all-MiniLM-L6-v2 (22.8 MB each) in one process share: one tokenizer (saves 12 MB), one
arena to compute in, since they rarely need it at once (21 MB), one table of word embeddings, mapped from the disk
(22 MB). What parsing a model leaves behind goes back to the system (17 MB). Median latency at 16 to 256 tokens is
the same.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from fleet_manifests import IntegrityError, SessionConfig, WordEmbeddings, digest_of
from fleet_manifests.memory import give_back
from runtimes.engine.words import open_words

if TYPE_CHECKING:
    import numpy as np

INPUTS = (("attention_mask", "input_ids"), ("input_ids",))
"""What a model may take: a build for one unpadded text at a time needs no mask."""


def file_of(folder: Path, name: str, field: str) -> Path:
    """The path of a bundle's file that a field of `bundle.json` names.

    Raises:
        IntegrityError: the name leaves the folder, or there is no such file.
    """
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise IntegrityError(f"{folder}: {field}: {name!r} is not a file name inside the bundle")
    if not path.is_file():
        raise IntegrityError(f"{folder}: {field}: no file {name!r}; the bundle is incomplete, fetch it again")
    return path


class SharedTokenizer:
    """A tokenizer that cuts at a fixed length and never pads. Safe to share between threads."""

    def __init__(self, raw: bytes, max_tokens: int) -> None:
        """Read the content of a `tokenizer.json`.

        Raises:
            ValueError: it is not a tokenizer.
        """
        self._max_tokens = max_tokens
        self._words = open_words(raw)
        if self._words is not None and max_tokens > self._words.frame:
            return
        from tokenizers import Tokenizer

        self._words = None
        self._tokenizer = Tokenizer.from_buffer(raw)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, text: str) -> tuple[list[int], bool]:
        """Token ids, special ones included, and whether the text was cut.

        Raises:
            TypeError: the text is not valid Unicode.
        """
        if self._words is not None:
            return self._words.encode(text, self._max_tokens) or self._words.read(text, self._max_tokens)
        encoding = self._tokenizer.encode(text)
        return encoding.ids, bool(encoding.overflowing)


_tokenizers: WeakValueDictionary[tuple[str, int], SharedTokenizer] = WeakValueDictionary()
"""Those in use, by digest of the file and length."""
_opening = threading.Lock()


def open_tokenizer(path: Path, max_tokens: int) -> SharedTokenizer:
    """The tokenizer of a file, cutting after `max_tokens` tokens; in memory once, however many engines use it.

    Raises:
        IntegrityError: the file is not a tokenizer.
    """
    raw = path.read_bytes()
    key = digest_of(raw), max_tokens
    with _opening:
        found = _tokenizers.get(key)
        if found is None:
            try:
                found = SharedTokenizer(raw, max_tokens)
            except ValueError as exc:
                raise IntegrityError(f"{path}: not a tokenizer: {exc}; fetch the bundle again") from exc
            _tokenizers[key] = found
    return found


class SharedTable:
    """The word embeddings of models of one base, mapped from their file."""

    def __init__(self, path: Path, spec: WordEmbeddings) -> None:
        """Map a file that has the size that `spec` says."""
        import numpy as np
        import onnxruntime as ort

        rows = np.memmap(path, dtype=np.dtype(spec.dtype).newbyteorder("<"), mode="r", shape=spec.shape)
        self.initializer = spec.initializer
        self.value = ort.OrtValue.ortvalue_from_numpy(np.asarray(rows))


_tables: WeakValueDictionary[tuple[int, int, str, str, tuple[int, ...]], SharedTable] = WeakValueDictionary()
"""Those in use, by device and inode (bundles of a site link to one blob) and by how they are read."""


def open_table(folder: Path, spec: WordEmbeddings) -> SharedTable:
    """The word embeddings of a bundle; in memory once, however many engines use the file.

    Raises:
        IntegrityError: no such file, or not of the size that `spec` says.
    """
    import numpy as np

    path = file_of(folder, spec.file, "word_embeddings")
    about = path.stat()
    size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
    if about.st_size != size:
        raise IntegrityError(
            f"{path}: word_embeddings: {size} bytes expected ({spec.dtype} {list(spec.shape)}), "
            f"found {about.st_size}; fetch the bundle again"
        )
    key = about.st_dev, about.st_ino, spec.initializer, spec.dtype, spec.shape
    with _opening:
        found = _tables.get(key)
        if found is None:
            found = _tables[key] = SharedTable(path, spec)
    return found


class Session:
    """An ONNX Runtime session with the options that the recipe chose. Safe to share between threads."""

    def __init__(
        self,
        path: Path,
        config: SessionConfig,
        output: str,
        threads: int | None = None,
        table: SharedTable | None = None,
    ) -> None:
        """Open the model.

        Args:
            path: the ONNX file.
            config: the recipe's session options.
            output: the output that is wanted.
            threads: overrides `config.threads`.
            table: the model's word embeddings, used in place of what its file says.

        Raises:
            IntegrityError: the file is damaged, or has not the inputs and outputs expected.
        """
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        # The runtime's exceptions have no common root below Exception.
        self._errors = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
        )
        self._path = path
        self._output = output
        _share_arena()
        options = _options(config, threads)
        self._table = table  # the session reads it as long as it lives
        if table is not None:
            options.add_initializer(table.initializer, table.value)
        try:
            self._session = ort.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(config.disabled_optimizers),
            )
        except self._errors as exc:
            raise IntegrityError(f"{path}: not a model that can be run: {exc}; fetch the bundle again") from exc
        self._check_contract()
        give_back()

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output, float32 [batch, n], of int64 inputs [batch, tokens]; what the model does not take is left out.

        Raises:
            IntegrityError: the model fails on this input.
        """
        try:
            found: np.ndarray = self._session.run([self._output], {name: inputs[name] for name in self._inputs})[0]
        except self._errors as exc:
            raise IntegrityError(f"{self._path}: the model fails when it is run: {exc}") from exc
        return found

    def _check_contract(self) -> None:
        """Refuse a model whose inputs or outputs are not those of its task."""
        self._inputs = tuple(sorted(node.name for node in self._session.get_inputs()))
        if self._inputs not in INPUTS:
            expected = " or ".join(", ".join(names) for names in INPUTS)
            raise IntegrityError(f"{self._path}: inputs: {expected} expected, found {', '.join(self._inputs)}")
        outputs = [node.name for node in self._session.get_outputs()]
        if self._output not in outputs:
            raise IntegrityError(f"{self._path}: outputs: {self._output} expected, found {', '.join(outputs)}")


def _options(config: SessionConfig, threads: int | None) -> Any:
    """The runtime's own options object."""
    import onnxruntime as ort

    levels = {
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or config.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = levels[config.graph_optimization]
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if config.allow_spinning else "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


@functools.cache
def _share_arena() -> None:
    """Make the arena that all sessions of this process compute in."""
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)
