"""A plugin: one extension of each kind, a file each, none of them known to morelli but by its dotted path.

From the repository's root (anywhere else with this folder's parent's parent on ``PYTHONPATH``)::

    morelli data prepare museum.list --out prepared/museum --source-kind examples.plugin.source:ListSource
    morelli bench examples/plugin/recipe.yaml --data prepared/museum --column examples.plugin.columns:LEARNING_RATE
    morelli table runs/plugin --metric precision_at_5 --column examples.plugin.columns:LEARNING_RATE
    morelli report runs/plugin --data prepared/museum --column examples.plugin.columns:LEARNING_RATE

A model folder runs no code, so a network that scores by this package's head is loaded where the head was imported::

    morelli --import examples.plugin.bilinear evaluate --data prepared/museum --model runs/plugin/… \\
        --with-metric examples.plugin.metrics:PRECISION_AT_5
"""
