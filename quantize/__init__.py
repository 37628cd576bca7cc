"""From a merged model to a build: export to ONNX, apply a recipe, choose one for a profile.

    >>> exported = export_onnx(merged, out, load=load_merged, texts=validation_texts)
    >>> recipes = candidates(profile)                       # legal for its ISA, cheapest first
    >>> result = search(recipes, build, evaluate)
    >>> result.require().recipe
    'int8'

A classical model is exported by `export_classical` and has one recipe, as it is.
`build` applies a recipe (`apply`) to the exported folder and `evaluate` measures the
result; both are arguments, so this package knows neither the training nor the evaluation.
"""

from quantize.build import BuildRecord, apply
from quantize.classical import export_classical
from quantize.export import ExportResult, export_onnx
from quantize.parity import Parity
from quantize.recipes import RECIPES, Recipe, candidates, recipe_named
from quantize.search import Score, SearchResult, Trial, search

__all__ = [
    "RECIPES",
    "BuildRecord",
    "ExportResult",
    "Parity",
    "Recipe",
    "Score",
    "SearchResult",
    "Trial",
    "apply",
    "candidates",
    "export_classical",
    "export_onnx",
    "recipe_named",
    "search",
]
