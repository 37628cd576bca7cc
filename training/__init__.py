"""Corpus in, tuned classifier out.

    >>> from training import arguments, bases, finetune, merge
    >>> base = bases.resolve(bases.BaseSpec())
    >>> result = finetune.finetune(corpus, base, arguments.TuneArguments(), adapter_folder)
    >>> merge.merge(adapter_folder, base, merged_folder)

`bases` pins the pretrained model, `corpus` reads and refuses rows, `features` and `probe`
give the frozen baseline that the tuning starts from (LP-FT), `finetune` learns the adapter,
`merge` folds it into the weights, `baselines` fits what the result must beat, `tracking`
records it in MLflow. Nothing here needs a network unless the base comes from the hub.
"""
