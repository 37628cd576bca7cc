"""Corpus in, tuned classifier or retriever out.

    >>> from training import arguments, bases, finetune, merge, retriever
    >>> base = bases.resolve(bases.BaseSpec())
    >>> result = finetune.finetune(corpus, base, arguments.TuneArguments(), adapter_folder)
    >>> merge.merge(adapter_folder, base, merged_folder)
    >>> result = retriever.finetune_retriever(library, base, arguments.RetrieveArguments(), other_folder)

`bases` pins the pretrained model, `corpus` reads and refuses rows, `features` and `probe`
give the frozen baseline that the tuning starts from (LP-FT), `finetune` learns the adapter,
`merge` folds it into the weights, `baselines` fits what the result must beat, `classical` a model
without a base that may ship in its place, `tracking` records it in MLflow.

A retriever learns from a `library` of passages and questions: `pairs` says what must find what,
`negatives` what must not be found, `batches` and `contrast` are the learning, `retriever` the whole
of it, `baselines_retrieval` ranks what it must beat. Adapter and merged folders have one form;
their `arguments.json` says which of the two they are.

Nothing here needs a network unless the base comes from the hub.
"""
