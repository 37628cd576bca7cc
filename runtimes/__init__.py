"""The consumers of a fleet manifest: the engine, the sync client, the edge and the central service.

This package imports `fleet_manifests` and the light base installation only. What makes a
model (torch, transformers, the asset graph) is never needed to run one.
"""
