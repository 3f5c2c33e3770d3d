"""The formulas of two-tower retrieval: pure functions on arrays, each loss with its gradient.

The lecture is Shusen Wang's on the two-tower model, from his course on recommender systems
(slides: github.com/wangshusen/RecommenderSystem, Retrieval 06 to 08). "Lecture, section 2.3" in a
docstring is its section 2.3. docs/19 lists its formulas in order. docs/09 is chapter 9 of the book.

Read the files in this order:

1. similarity: one score for a user vector and an item vector.
2. softmax: the loss of a batch. blocked is the same loss in little memory; training runs it.
3. logq, hits: correct the loss for how in-batch negatives are drawn; find false negatives.
4. draw_probability, sampling, alias_table: draw negatives and compute log q of a draw.
5. frequency: estimate q on a stream.
6. sigmoid, pairwise, pointwise: the other two losses, and the function that they share.
7. augmentation, mutual_information: two views of one item, for self-supervision.
8. spectral: vectors in closed form, to start training from.
9. ranking, popularity, uniformity: measures of recalled lists and of vectors.
10. stop_gradient_logq: the loss of logq.calibrated in its published form, for comparison.

arguments checks what callers pass, and arrays names the array types. threads runs tasks at the same
time, and blas sets the threads of NumPy's products.

A loss returns (loss, gradient), or (loss, gradients) for several arrays. The gradients are those
of the returned loss, with the shapes of its arguments. A similarity returns its scores and a
function that turns the gradient of the scores into the gradients of the vectors.

The sections of a docstring:

- Shapes: (n,m)->(n) reads "from an array of n rows and m columns to a vector of length n".
- Gradient: the derivative that the code computes.
- Properties: laws that hold. Law L of function F is tested by test_F__L in tests/test_<file>.py.
- Reference: the paper and equation, and the chapter that explains the formula.

Reference only, called by no other file but the conformance checker: accidental_hits,
known_positives, in_batch_softmax, info_nce, temperature_gradient, cosine, stop_gradient_logq,
build_alias_table_vose, log_q_without_positive, log_expected_count, gap_bias, gap_variance,
plug_in_bias, ranked, alignment, uniformity.

Chapter 19.
"""
