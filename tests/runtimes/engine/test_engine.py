"""The engine: what it answers, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from fleet_manifests import (
    BundleConfig,
    Calibration,
    DataError,
    IntegrityError,
    RefusedError,
    SessionConfig,
    SmokeCase,
    Task,
    UsageError,
    dump,
)
from runtimes.engine import load, load_parts
from runtimes.engine.engine import softmax

pytestmark = pytest.mark.unit


def test_answers_with_label_confidence_and_origin(bundle) -> None:
    answer = load(bundle()).classify("Late truck")
    assert answer.label == "late"
    # two of four tokens weigh 8 for one label: logit 4, halved by the temperature
    assert answer.confidence == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert (answer.workflow, answer.profile, answer.recipe) == ("exception_triage", "edge-x86-vnni", "int8")
    assert answer.tokens == 4
    assert not answer.truncated


def test_scores_are_sorted_complete_and_sum_to_one(bundle) -> None:
    answer = load(bundle()).classify("late truck missing")
    assert [label for label, _ in answer.scores] == ["late", "short", "damaged"]
    assert sum(score for _, score in answer.scores) == pytest.approx(1.0)
    assert answer.scores[0] == (answer.label, answer.confidence)


def test_ties_keep_the_order_of_the_labels(bundle) -> None:
    assert [label for label, _ in load(bundle()).classify("ready").scores] == ["damaged", "late", "short"]


def test_cuts_at_max_tokens_and_says_so(bundle) -> None:
    engine = load(bundle())
    fits = engine.classify("late " * 14)
    cut = engine.classify("late " * 15)
    assert (fits.tokens, fits.truncated) == (16, False)
    assert (cut.tokens, cut.truncated) == (16, True)


@pytest.mark.parametrize("cores", [1, 4])
def test_many_texts_keep_their_order_on_any_number_of_cores(
    bundle, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(bundle())
    texts = ["late truck", "ready", "broken broken"] * 40
    alone = [engine.logits([text])[0] for text in texts]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert (engine.logits(texts) == np.stack(alone)).all()
    with pytest.raises(DataError, match="empty"):
        engine.logits([*texts, " ", *texts])


def test_logits_are_raw_and_unpadded(bundle) -> None:
    logits = load(bundle()).logits(["late truck", "ready", "broken broken"])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, [[0, 4, 0], [0, 0, 0], [4, 0, 0]])


def test_logits_of_nothing(bundle) -> None:
    assert load(bundle()).logits([]).shape == (0, 3)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_text_is_refused(bundle, text: str) -> None:
    engine = load(bundle())
    with pytest.raises(DataError, match="text: empty"):
        engine.classify(text)
    with pytest.raises(DataError, match="text: empty"):
        engine.logits(["late", text])


def test_text_beyond_max_characters_is_refused(bundle) -> None:
    engine = load(bundle())
    assert engine.classify("x" * 200).label
    with pytest.raises(DataError, match="201 characters; at most 200"):
        engine.classify("x" * 201)


def test_lone_surrogate_is_refused(bundle) -> None:
    with pytest.raises(DataError, match="not valid Unicode"):
        load(bundle()).classify("late \ud800 truck")


def test_threads_share_an_engine(bundle) -> None:
    engine = load(bundle())
    texts = ["late truck", "broken box", "missing pallet"] * 50
    with ThreadPoolExecutor(8) as pool:
        labels = [answer.label for answer in pool.map(engine.classify, texts)]
    assert labels == ["late", "damaged", "short"] * 50


def test_smoke_passes_on_the_bundles_own_cases(bundle) -> None:
    assert load(bundle()).smoke() == []


def test_smoke_names_what_differs(bundle, config: BundleConfig) -> None:
    cases = (
        SmokeCase(text="late truck", label="short", confidence=0.787),
        SmokeCase(text="late truck", label="late", confidence=0.9, tolerance=0.05),
        SmokeCase(text="late truck", label="late", confidence=0.78, tolerance=0.05),
    )
    failures = load(bundle(config.model_copy(update={"smoke": cases}))).smoke()
    assert len(failures) == 2
    assert "short at 0.787" in failures[0]
    assert "found late at 0.787" in failures[1]


def test_load_parts_needs_no_bundle_json(bundle, config: BundleConfig) -> None:
    folder = bundle()
    (folder / "bundle.json").unlink()
    assert load_parts(folder, config).classify("late").label == "late"
    with pytest.raises(IntegrityError, match=r"bundle: no file 'bundle\.json'"):
        load(folder)


def test_session_options_reach_the_runtime(bundle, config: BundleConfig) -> None:
    session = SessionConfig(threads=2, allow_spinning=False, graph_optimization="basic")
    engine = load(bundle(config.model_copy(update={"session": session})))
    options = engine._session._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert load(bundle(), threads=1)._session._session.get_session_options().intra_op_num_threads == 1


def test_disabled_optimizers_reach_the_runtime(bundle, config: BundleConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    class Recording(onnxruntime.InferenceSession):
        def __init__(self, *args: object, **options: object) -> None:
            asked.append(options)
            super().__init__(*args, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recording)
    names = ("SkipLayerNormFusion", "ConstantFolding")
    engine = load(bundle(config.model_copy(update={"session": SessionConfig(disabled_optimizers=names)})))
    assert engine.classify("late").label == "late"
    assert [options["disabled_optimizers"] for options in asked] == [list(names)]


def test_corrupted_model_is_refused(bundle) -> None:
    folder = bundle()
    raw = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(IntegrityError, match=r"model\.onnx: not a model that can be run"):
        load(folder)


def test_empty_model_is_refused(bundle) -> None:
    folder = bundle()
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        load(folder)


def test_unknown_operator_is_refused(bundle) -> None:
    folder = bundle()
    model = onnx.load(str(folder / "model.onnx"))
    model.graph.node[-1].op_type = "Teleport"
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(IntegrityError, match=r"model\.onnx: not a model that can be run"):
        load(folder)


@pytest.mark.parametrize(("field", "name"), [("model", "model.onnx"), ("tokenizer", "tokenizer.json")])
def test_missing_file_is_named_with_its_field(bundle, field: str, name: str) -> None:
    folder = bundle()
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"{field}: no file '{name}'"):
        load(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model": {"type": "Nothing"}}'])
def test_damaged_tokenizer_is_refused(bundle, raw: bytes) -> None:
    folder = bundle()
    (folder / "tokenizer.json").write_bytes(raw)
    with pytest.raises(IntegrityError, match=r"tokenizer\.json: not a tokenizer"):
        load(folder)


def test_tokenizer_without_tokens_is_refused(bundle) -> None:
    folder = bundle()
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["post_processor"] = None
    document["pre_tokenizer"] = None
    document["normalizer"] = {"type": "Replace", "pattern": {"Regex": "."}, "content": ""}
    path.write_text(json.dumps(document))
    assert Tokenizer.from_file(str(path)).encode("ready").ids.count(0) == 32
    with pytest.raises(IntegrityError, match="tokenizer: gives no tokens"):
        load(folder)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname", "a/../../model.onnx"])
def test_path_outside_the_bundle_is_refused(bundle, config: BundleConfig, name: str) -> None:
    folder = bundle(config.model_copy(update={"model": name}))
    (folder.parent / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(IntegrityError, match="not a file name inside the bundle"):
        load(folder)


@pytest.mark.parametrize("labels", [(), ("late",), ("a", "b", "c", "d")])
def test_wrong_number_of_labels_is_refused(bundle, config: BundleConfig, labels: tuple[str, ...]) -> None:
    with pytest.raises(IntegrityError, match=rf"labels: .*shape \[1, 3\], bundle.json has {len(labels)} labels"):
        load(bundle(config.model_copy(update={"labels": labels})))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_never_pass(bundle, value: float) -> None:
    with pytest.raises(IntegrityError, match="score is not finite"):
        load(bundle(weights=np.full((11, 3), value)))


def test_a_nan_that_only_some_words_reach_is_found_when_they_come(bundle, config: BundleConfig) -> None:
    """A NaN in one row of the embedding's consumer: the trial run does not touch it, the request does."""
    folder = bundle()
    model = onnx.load(str(folder / "model.onnx"))
    table = next(one for one in model.graph.initializer if one.name == "words_table")
    values = onnx.numpy_helper.to_array(table).copy()
    values[9] = np.nan
    table.CopyFrom(onnx.numpy_helper.from_array(values, "words_table"))
    onnx.save(model, str(folder / "model.onnx"))
    engine = load(folder)
    assert engine.classify("late").label == "late"
    with pytest.raises(IntegrityError, match="score is not finite"):
        engine.classify("missing pallet")
    with pytest.raises(IntegrityError, match="score is not finite"):
        engine.logits(["late", "missing"])


def test_wrong_inputs_are_refused(bundle) -> None:
    with pytest.raises(
        IntegrityError, match="inputs: attention_mask, input_ids or input_ids expected, found ids, segments"
    ):
        load(bundle(inputs=("ids", "segments")))


def test_wrong_output_is_refused(bundle) -> None:
    with pytest.raises(IntegrityError, match="outputs: logits expected, found scores"):
        load(bundle(output="scores"))


def test_model_shorter_than_max_tokens_is_refused_at_load(bundle, config: BundleConfig) -> None:
    assert load(bundle(positions=16)).classify("late " * 30).truncated
    with pytest.raises(IntegrityError, match="the model fails when it is run"):
        load(bundle(config.model_copy(update={"max_tokens": 32}), positions=16))


@pytest.mark.parametrize("task", [Task.RETRIEVE, Task.GENERATE])
def test_a_bundle_of_another_task_is_refused(bundle, config: BundleConfig, task: Task) -> None:
    with pytest.raises(RefusedError, match=f"task: classify expected, found {task.value}"):
        load(bundle(config.model_copy(update={"task": task})))


def test_a_query_is_an_answer(bundle) -> None:
    engine = load(bundle())
    assert engine.query("late truck") == engine.classify("late truck")


def test_no_threads_is_bad_usage(bundle) -> None:
    with pytest.raises(UsageError, match="threads: at least 1"):
        load(bundle(), threads=0)


def test_damaged_bundle_json_names_the_field(bundle) -> None:
    folder = bundle()
    document = json.loads((folder / "bundle.json").read_text())
    document["calibration"]["temperature"] = 0
    (folder / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match=r"bundle\.json: calibration\.temperature"):
        load(folder)


def test_softmax_is_stable_and_double_precision() -> None:
    found = softmax(np.array([1e4, 0, -1e4], np.float32), 1.0)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, 0, 0])


def test_temperature_flattens_without_changing_the_order(bundle, config: BundleConfig) -> None:
    hot = config.model_copy(update={"calibration": Calibration(temperature=50.0)})
    sharp = load(bundle()).classify("late truck")
    flat = load(bundle(hot)).classify("late truck")
    assert flat.label == sharp.label
    assert 1 / 3 < flat.confidence < sharp.confidence


def test_import_stays_light(bundle) -> None:
    """Importing the package alone loads no runtime; running a bundle loads nothing of the factory."""
    code = (
        "import sys; from pathlib import Path; import runtimes.engine, runtimes.engine.host;"
        "early = {'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules);"
        f"runtimes.engine.load(Path({str(bundle())!r})).classify('late');"
        "late = {'torch', 'transformers', 'onnx', 'sklearn', 'scipy', 'typer', 'starlette'} & set(sys.modules);"
        "print(sorted(early), sorted(late))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_config_round_trips(bundle, config: BundleConfig) -> None:
    folder: Path = bundle()
    assert load(folder).config == config
    assert dump(load(folder).config) == (folder / "bundle.json").read_bytes()
