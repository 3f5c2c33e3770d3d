"""Training: batches, negatives, objectives, self-supervision, and the loop around a step.

Read the files in this order:

1. trainer: the loop of epochs, validation and the best epoch. Its epoch calls all the rest.
2. gradient_step: one step. The towers encode a batch, the objective returns a loss with its
   gradients, and the optimizer moves the parameters.
3. batches: clicked pairs and the candidates of a batch, with log q of each candidate.
4. negatives: what a source of negatives is, and sources that share or mix. sampled_negatives
   draws from the catalogue; hard_negatives draws from lists and from the model's own recall.
5. objectives: the losses of :mod:`minitower.formulas` on the vectors of a batch.
6. self_supervised, views: the contrastive loss of two views of an item.
7. regularization: weight decay and dropout within a step.
8. validation, history: measure an epoch and keep the best one; report progress and epochs.

The command line and the notes of a version describe training by options. An annotation
``Annotated[float, Option("...", 0, 1)]`` declares one: its help and its domain
(:mod:`minitower.data.options`). A Python caller passes plain values, and a reader can skip it.

- named: the names that options have for objectives, negatives and optimizers.
- recipe: options to the parts of a training step, and back. memory: bounds on what they take.
- tune, study, search_space: search for the best options with Optuna.

Chapter 4.
"""
