"""One rule for the numbers that a user gives, held by every public formula.

The formulas are found by looking into the package. A formula whose parameter has no example in
EXAMPLES fails here, and so does a formula that computes in the type it was given.
"""

import importlib
import inspect
import pkgutil
import re
from copy import deepcopy
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import minitower.formulas
from minitower.formulas.arguments import (
    as_array,
    as_floats,
    as_ids,
    as_integers,
    as_mask,
    as_rows,
    choice,
    integer,
    number,
    positive_margin,
    positive_number,
    positive_scale,
    positive_temperature,
    row_count,
    strict_integer,
    weights_over_n,
)
from minitower.formulas.augmentation import (
    complementary_masks,
    correlated_masks,
    drop_values,
    random_mask,
)
from minitower.formulas.frequency import StreamingFrequency
from minitower.formulas.hits import (
    AccidentalHits,
    KnownPositives,
    accidental_hits,
    known_positives,
)
from minitower.formulas.logq import calibrated, cross_batch, mixed, uncorrected, yi
from minitower.formulas.mutual_information import count_together
from minitower.formulas.popularity import slices_by_positives
from minitower.formulas.ranking import ranked
from minitower.formulas.sampling import AliasTable, Uniform
from minitower.formulas.similarity import inner_product, l2_normalize

MATRIX = np.array([[100.0, 101.0, 90.0], [120.0, 3.0, 77.0]])
NEGATIVE = np.array([-1.0, -2.0, -3.0])
SCORES = np.array([[1.0, 90.0, 100.0], [0.0, 3.0, 2.0]])

# By the name of the parameter; where two formulas mean different things, by both names.
EXAMPLES = {
    "K": 4,
    "alpha": 0.5,
    "appearances": 3,
    "beta": 0.5,
    "bias": 1.0,
    "block": 1,
    "c": np.array([100.0, 3.0]),
    "candidate_ids": np.array([1, 2, 1]),
    "candidates": NEGATIVE,
    "clicks": np.array([100, 100, 3]),
    "counts": np.array([100.0, 2.0, 120.0]),
    "d": 2,
    "d_scores": SCORES,
    "draws": 10,
    "drop": np.array([[0, 1], [0, 0]]),
    "epsilon": 0.0,
    "excluded": np.array([[0, 0, 1], [0, 0, 0]]),
    "hashes": 0,
    "hidden": 1,
    "hits": np.array([[True, False], [False, True]]),
    "ids": np.array([2, 0, 2]),
    "indptr": np.array([0, 2, 3]),
    "initial": 100.0,
    "initial_gap": 100.0,
    "items": MATRIX,
    "k": 2,
    "labels": np.array([1.0, 1.0]),
    "log_count": NEGATIVE,
    "log_inclusion": NEGATIVE,
    "log_q": NEGATIVE,
    "log_q_positive": NEGATIVE,
    "log_qs": NEGATIVE[None],
    "log_sum_weight": 2.0,
    "logits": SCORES,
    "m": 4,
    "margin": 1.0,
    "mean": 7.0,
    "n": 2,
    "negative": np.array([100.0, 2.0]),
    "negatives": SCORES[:, :2],
    "of_item": np.array([0, 1, 1]),
    "p": np.array([100.0, 2.0, 120.0]),
    "positive": np.array([3.0, 120.0]),
    "positives": np.array([3, 100]),
    "positives_by_slice": np.array([[100, 3], [100, 100]]),
    "power": 2.0,
    "alias": np.array([0, 1, 0]),
    "keep": np.array([1.0, 0.5, 0.25]),
    "quantiles": np.array([0.5]),
    "r": np.array([100.0, 3.0]),
    "rate": 0.5,
    "recalled": np.array([[3, -1], [3, 0]]),
    "pairwise_mi": np.eye(4) * 100,
    "rows": np.array([1, 0, 1]),
    "scale": 1.0,
    "smoothing": 2.0,
    "scores": SCORES,
    "shares": np.array([100.0]),
    "since": 0,
    "slice_of_rank": np.array([[1, 1], [0, 1]]),
    "slices": 2,
    "slots": 3,
    "logq_weight": 0.5,
    "temperature": 2.0,
    "times": np.array([100, 100, 3]),
    "rounds": 2,
    "user_rows": np.array([0, 1]),
    "users": MATRIX,
    "variance": 100.0,
    "weights": np.array([100.0, 90.0]),
    "x": MATRIX,
    "y": MATRIX[::-1].copy(),
    ("KnownPositives", "positives"): (np.array([0, 1, 2]), np.array([1, 2])),
    ("known_positives", "positives"): (np.array([0, 1, 2]), np.array([1, 2])),
    ("blocked_in_batch_softmax", "items"): np.array([[3.0, 100, 1], [90, 2, 0], [0, 1, 120]]),
    ("Slices.count", "items"): np.array([2, 0, 1]),
    ("Slices", "items"): np.array([1, 2]),
    ("Slices", "clicks"): np.array([[0, 0], [1, 3]]),
    ("normalized", "weights"): np.array([100.0, 2.0, 120.0]),
    ("build_alias_table_vose", "p"): np.array([0.5, 0.25, 0.25]),
    ("build_alias_table", "p"): np.array([0.5, 0.25, 0.25]),
    ("info_nce", "scores"): SCORES[:, :2],
    ("info_nce", "weights"): np.array([1.0, 2.0]),
    ("pointwise_logistic", "scores"): np.array([100.0, 3.0]),
    ("pointwise_squared", "scores"): np.array([100.0, 3.0]),
    ("softmax_cross_entropy", "positive"): np.array([0, 1]),
    ("softmax_cross_entropy", "drop"): np.array([[0, 1, 0], [1, 0, 0]]),
    ("slices_by_positives", "positives"): np.array([3, 100, 100]),
    ("Slices.count", "n"): 2,
    ("random_mask", "k"): 3,
    ("with_bias", "bias"): np.array([0, 1]),
    ("with_bias", "vectors"): MATRIX[:2],
    ("complementary_masks", "k"): 3,
}

# What is no number to compute with, and no id to compare: made anew for every call.
OTHERS = {
    "augment": None,
    "correction": lambda: uncorrected(np.array([1, 2, 1]), n=2),
    "decoupled": lambda: True,
    "dtype": lambda: np.dtype(float),
    "fields": lambda: [np.array([0, 1]), np.array([1, 1])],  # values of a field, of any type
    "identifiers": lambda: True,
    "mask_hits": lambda: True,
    "name": lambda: "weights",
    "own": lambda: True,
    "parts": lambda: [(1, Uniform(3)), (2, AliasTable([1, 2, 3]))],
    "aged": lambda: True,
    "per_item": lambda: True,
    "repeats": lambda: "expected_count",
    "rng": lambda: np.random.default_rng(0),
    "rounding": lambda: "floor",
    "shape": lambda: (2, 3),
    "matrix": lambda: sparse.csr_array(MATRIX),
    ("scaled_clicks", "clicks"): lambda: sparse.csr_array(MATRIX),
    ("spectral_vectors", "clicks"): lambda: sparse.csr_array(MATRIX),
    "size": lambda: 3,
    "symmetric": lambda: True,
    "values": lambda: np.array([5, 6, 7]),  # moved, never read
    ("Correction", "hits"): lambda: AccidentalHits(np.array([1, 2, 1]), 2),
}

# Results that a formula makes, of what has been checked already, are no formulas themselves.
RESULTS = {"Cooccurrences", "FalseNegatives", "Slices"}


def parameters(call):
    return [
        name
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self"
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def example(formula, name):
    """(an example, whether its type may be varied)."""
    for key in ((formula, name), name):
        if key in OTHERS:
            return OTHERS[key](), False
        if key in EXAMPLES:
            return EXAMPLES[key], True
    raise KeyError(f"{formula} has a parameter {name}: give an example of it in EXAMPLES")


def examples(formula, call):
    """The examples of the parameters, and the names of those whose type may be varied."""
    of = {name: example(formula, name) for name in parameters(call)}
    return {k: v for k, (v, _) in of.items()}, [k for k, (_, varied) in of.items() if varied]


MUTANT = "__mutmut_"  # the mutation run puts mutants beside a function and under its name


def formulas(module):
    """(name, callable) of every public formula and of the public methods of every class."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
            continue
        if MUTANT in name:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
            if name not in RESULTS:
                yield name, thing
            for method in [m for m in vars(thing) if not m.startswith("_") and MUTANT not in m]:
                # What takes rows of blocks, and no user's numbers, is `among` of hits.
                if inspect.isfunction(vars(thing)[method]) and method != "among":
                    yield f"{name}.{method}", vars(thing)[method]


def made(name):
    """An instance of a class, to call a method of."""
    if name == "Slices":
        return slices_by_positives(np.array([0, 1, 3]), np.array([1, 2, 2]), 1)
    thing = CLASSES[name]
    return thing(**examples(name, thing)[0])


MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.iter_modules(minitower.formulas.__path__, "minitower.formulas.")
    if module.name.rpartition(".")[2] not in ("arguments", "blas", "threads")
]
CLASSES = {
    name: thing
    for module in MODULES
    for name, thing in vars(module).items()
    if inspect.isclass(thing)
}
EVERY = {name: call for module in MODULES for name, call in formulas(module)}
# Methods without arrays have nothing to vary; Cooccurrences adds up what count_together made.
VARIED = {
    name: call
    for name, call in EVERY.items()
    if parameters(call) and not name.startswith("Cooccurrences.")
}


def bits(result, cast_gradient):
    """A result as something that is equal where all of its bits are; gradients included."""
    if isinstance(result, tuple) and len(result) == 2 and callable(result[1]):
        value, backward = result
        return bits((value, backward(cast_gradient(np.ones(value.shape) * 3))), cast_gradient)
    if isinstance(result, (tuple, list)):
        return [bits(part, cast_gradient) for part in result]
    if isinstance(result, dict):
        return {name: bits(part, cast_gradient) for name, part in result.items()}
    if is_dataclass(result):
        return [bits(getattr(result, field.name), cast_gradient) for field in fields(result)]
    if hasattr(result, "tocoo"):
        return bits((result.tocoo().data, *result.tocoo().coords), cast_gradient)
    if isinstance(result, np.ndarray | np.generic):
        return result.dtype.str, result.shape, result.tobytes()
    if isinstance(result, float):
        return np.float64(result).tobytes()
    if hasattr(result, "__dict__") and not callable(result):
        return bits(vars(result), cast_gradient)
    return result


def outcome(name, call, values, cast_gradient):
    """The bits of what comes out, or what is refused."""
    owner, _, method = name.partition(".")
    values = deepcopy(values)  # a generator moves on
    with np.errstate(all="ignore"):
        try:
            if not method:
                return bits(call(**values), cast_gradient)
            instance = made(owner)
            return bits((call(instance, **values), vars(instance)), cast_gradient)
        except ValueError as error:
            return error


def is_mask(value):
    return not isinstance(value, tuple) and np.asarray(value).dtype.kind == "b"


def cast(value, dtype):
    if isinstance(value, tuple):
        return tuple(cast(part, dtype) for part in value)
    return np.asarray(value).astype(dtype)[()]


def assert_upcast(name, call, values, varied, dtype):
    """As if the values had been converted first: float16 to float32, integers to float64."""
    wide = np.float32 if dtype == np.float16 else np.float64
    narrow = {k: cast(v, dtype) if k in varied else v for k, v in values.items()}
    upcast = {k: cast(narrow[k], wide) if k in varied else v for k, v in values.items()}
    got = outcome(name, call, narrow, lambda x: cast(x, dtype))
    if isinstance(got, ValueError):
        if "must be integers, got bool" in str(got) or "where they come as float16" in str(got):
            return
        expected = outcome(name, call, upcast, lambda x: cast(cast(x, dtype), wide))
        assert isinstance(expected, ValueError), (got, expected)
    else:
        assert got == outcome(name, call, upcast, lambda x: cast(cast(x, dtype), wide))


NARROW = [np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_]


@st.composite
def narrowed(draw, values, varied, dtype):
    """The examples, some of them with numbers from the full range of a type."""
    values, kind = dict(values), np.dtype(dtype).kind
    if kind == "b":  # where a mask is asked for, it is one already
        varied = [k for k in varied if not is_mask(values[k])]
    chosen = draw(st.lists(st.sampled_from(varied), min_size=1, unique=True)) if varied else []
    low, high = (0, 1) if kind == "b" else (-1024, 1024)
    if kind in "iu":
        low, high = max(low, np.iinfo(dtype).min), min(high, np.iinfo(dtype).max)
    for name in chosen:
        value = values[name]
        if isinstance(value, np.ndarray) and draw(st.booleans()):
            element = st.floats(low, high, width=16) if kind == "f" else st.integers(low, high)
            size = value.size
            values[name] = np.array(
                draw(st.lists(element, min_size=size, max_size=size)), float
            ).reshape(value.shape)
    return values, chosen


@pytest.mark.parametrize("name", EVERY)
def test_formulas__take_their_examples(name):
    """In float64, none of which is refused: else the tests below would compare refusals."""
    if name in VARIED:
        result = outcome(name, EVERY[name], examples(name, EVERY[name])[0], lambda x: x)
        assert not isinstance(result, ValueError), result


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", VARIED)
def test_formulas__upcast_the_examples(name, dtype):
    values, varied = examples(name, VARIED[name])
    if dtype == np.bool_:
        varied = [k for k in varied if not is_mask(values[k])]
    assert_upcast(name, VARIED[name], values, varied, dtype)
    for one in varied:
        assert_upcast(name, VARIED[name], values, [one], dtype)


@pytest.mark.parametrize("name", VARIED)
@settings(max_examples=25)
@given(data=st.data())
def test_formulas__upcast_whatever_the_numbers(name, data):
    dtype = data.draw(st.sampled_from(NARROW))
    values, varied = examples(name, VARIED[name])
    values, chosen = data.draw(narrowed(values, varied, dtype))
    assert_upcast(name, VARIED[name], values, chosen, dtype)


FOREIGN = [complex, object, "datetime64[s]", str]
COMPARED = {"candidate_ids", "ids"}  # strings are ids, too


@pytest.mark.parametrize("dtype", FOREIGN)
@pytest.mark.parametrize("name", VARIED)
def test_formulas__refuse_what_is_no_number_and_name_it(name, dtype):
    values, varied = examples(name, VARIED[name])
    for one in varied:
        if isinstance(values[one], tuple) or (dtype is str and one in COMPARED):
            continue
        value = np.asarray(values[one])
        value = value.astype(int) if dtype == "datetime64[s]" else value
        for foreign in (value.astype(dtype), *([] if one == "log_qs" else [Broken()])):
            with np.errstate(all="ignore"):
                result = outcome(name, VARIED[name], values | {one: foreign}, lambda x: x)
            assert isinstance(result, ValueError), (one, result)
            assert re.search(rf"\b{one}\b", str(result)), (one, result)
            assert len(str(result)) < 500


class Broken:
    """What cannot become an array."""

    def __array__(self, *_, **__):
        raise ValueError("broken")


RNG = np.random.default_rng(0)
IDS, LOG_Q, NO_CLICKS = np.array([1, 2, 1]), NEGATIVE, (np.zeros(5, int), np.empty(0, int))
CANDIDATES = "candidate_ids has 3"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: accidental_hits(IDS, 4), CANDIDATES),
        (lambda: AccidentalHits(IDS, 4), CANDIDATES),
        (lambda: known_positives(np.zeros(4, int), IDS, NO_CLICKS), CANDIDATES),
        (lambda: KnownPositives(np.zeros(4, int), IDS, NO_CLICKS), CANDIDATES),
        (lambda: known_positives([0], IDS, ([0, 0.5], [])), r"^positives \(indptr\) must be"),
        (lambda: known_positives([0], IDS, ([0, 1], [0.5])), r"^positives \(indices\) must be"),
        (lambda: uncorrected(IDS, n=4), CANDIDATES),
        (lambda: cross_batch(LOG_Q, IDS, 4), CANDIDATES),
        (lambda: calibrated(LOG_Q, IDS, 4), CANDIDATES),
        (lambda: yi(LOG_Q, n=4), "log_q has 3"),
        (lambda: mixed(LOG_Q, 4), "log_q has 3"),
        (
            lambda: drop_values(np.random.default_rng(0), [0, 1], Broken()),
            "^values is not an array",
        ),
        (lambda: count_together([Broken()]), "^fields is not an array"),
        (lambda: count_together([([0, 0.5], [1])]), "^indptr must be"),
        (lambda: count_together(3), "^fields must be a list of columns, got 3$"),
        (lambda: count_together(np.array(3)), "^fields must be a list of columns, got array"),
        (lambda: l2_normalize(MATRIX)[1](MATRIX * 1j), "^d_y must be real"),
        (lambda: inner_product(MATRIX, MATRIX)[1]([1j, 1]), "^d_scores must be real"),
        (lambda: StreamingFrequency(2).update([2]), "^ids without hashes, which are slots, must"),
    ],
)
def test_formulas__name_what_they_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TOO_MANY = 2**31


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: random_mask(RNG, TOO_MANY, 2, 1), "n"),
        (lambda: random_mask(RNG, 2, TOO_MANY, 1), "k"),
        (lambda: complementary_masks(RNG, 2, TOO_MANY), "k"),
        (lambda: correlated_masks(RNG, TOO_MANY, np.eye(4)), "n"),
        (lambda: ranked([[1.0]], TOO_MANY), "k"),
        (lambda: StreamingFrequency(TOO_MANY), "slots"),
        (lambda: StreamingFrequency(1, hashes=TOO_MANY), "hashes"),
    ],
)
def test_formulas__refuse_sizes_that_no_memory_holds(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must be an integer within \d..2147483647, got"):
        call()


def test_formulas__of_one_kind_are_found():
    """The walk is no walk over nothing."""
    assert {"inner_product", "KnownPositives", "StreamingFrequency.update"} <= VARIED.keys()
    assert len(VARIED) > 55


@pytest.mark.parametrize(
    "naive",
    [
        lambda users, items: np.einsum("nd,nd->n", users, items),
        lambda users, items: users - items,
        lambda x: (np.exp(np.asarray(x, float)), lambda dy: dy * x),
    ],
)
def test_formulas__one_that_does_not_upcast_is_noticed(naive):
    values, varied = examples("naive", naive)
    for dtype in (np.float16, np.int8):
        with pytest.raises(AssertionError):
            assert_upcast("naive", naive, values, varied, dtype)


def test_formulas__one_with_an_unknown_parameter_is_noticed():
    with pytest.raises(KeyError, match="give an example"):
        examples("new", lambda never_seen: never_seen)


# The arguments themselves ------------------------------------------------------------------


def test_the_sum_of_products_of_bytes_does_not_wrap():
    users = np.full((1, 2), 200, np.uint8)
    scores, backward = inner_product(users, users)
    assert scores == 80_000
    assert backward(np.array([2], np.uint8))[0].tolist() == [[400, 400]]


def test_the_lowest_byte_has_a_length():
    assert l2_normalize(np.array([[-128, 0]], np.int8))[0].tolist() == [[-1, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_floats__stay_as_they_are(dtype):
    x = np.ones(3, dtype)
    assert as_floats("x", x) is x


def test_floats__of_float16_are_exact():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    assert np.array_equal(as_floats("x", every), every.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize("bad", [[1j], ["1"], [None], [[1, 2], [3]], np.array(["2020"], "M8[Y]")])
def test_floats__refuses(bad):
    with pytest.raises(ValueError, match="my_scores"):
        as_floats("my_scores", bad)


@pytest.mark.parametrize(
    "dtype, bits", [(np.float16, 11), (np.float32, 24), (np.float64, 53), (np.longdouble, 63)]
)
def test_integers__of_floats_are_refused_from_where_two_of_them_are_one(dtype, bits):
    bits = min(bits, np.finfo(dtype).nmant + 1)  # longdouble is float64 on some machines
    most = dtype(2) ** bits
    held = np.array([most / 2 - 1, -most / 2], dtype)
    assert as_integers("ids", held).tolist() == [2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
    for bad in (most, -most, dtype(0.5), dtype(np.nan), dtype(np.inf)):
        with pytest.raises(ValueError, match="ids must be integers, and below 2"):
            as_integers("ids", np.array([0, bad], dtype))


@pytest.mark.parametrize("bad", [np.array([True]), ["a"], [1j], [None], np.array([2**63])])
def test_integers__refuses(bad):
    with pytest.raises(ValueError, match="ids must be"):
        as_integers("ids", bad)


def test_ids__of_64_bits_and_strings_are_compared_as_they_are():
    hashed = np.array([2**63, 2**63 + 1, 2**63], np.uint64)
    assert AccidentalHits(as_ids("ids", hashed)).count.tolist() == [1, 0, 1]
    assert AccidentalHits(np.array(["a", "b", "a"])).count.tolist() == [1, 0, 1]


@pytest.mark.parametrize("dtype, bits", [(np.float16, 11), (np.float32, 24), (np.float64, 53)])
def test_hits__of_floats_that_merge_two_items_are_refused(dtype, bits):
    two = np.array([2**bits, 2**bits + 1]).astype(dtype)
    assert two[0] == two[1]
    with pytest.raises(ValueError, match="candidate_ids"):
        AccidentalHits(two)
    clicked = np.array([0, 1, 2]), two
    with pytest.raises(ValueError, match="positives"):
        KnownPositives(np.array([0, 1]), np.array([5, 6]), clicked)


def test_known_positives__of_signed_and_unsigned_ids_do_not_meet_in_a_float():
    """Compared in float64, 2^53 and 2^53 + 1 would be one item."""
    items, clicked = np.array([2**53 + 1, 5], np.int64), np.array([2**53], np.uint64)
    hits = KnownPositives(np.array([0, 0]), items, (np.array([0, 1]), clicked))
    assert hits.count.tolist() == [0, 0]
    far = np.array([2**63, 5], np.uint64)
    with pytest.raises(ValueError, match="uint64 and positives int64"):
        KnownPositives(np.array([0]), far, (np.array([0, 1]), np.array([3])))


@pytest.mark.parametrize("bad", [[2], [0.5], ["yes"], [None], [1j]])
def test_mask__refuses(bad):
    with pytest.raises(ValueError, match="drop must be true or false"):
        as_mask("drop", bad)


@pytest.mark.parametrize("bad", [[1.0], np.nan, np.inf, 1j, "1", None])
def test_number__refuses(bad):
    with pytest.raises(ValueError, match="bias must be"):
        number("bias", bad)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: number("bias", [1.0]), r"bias must be one finite number, got shape \(1,\)"),
        (lambda: number("bias", np.nan), "bias must be one finite number, got nan"),
        (
            lambda: positive_number("power", [2.0]),
            r"power must be positive .*, got \[2.0\]",
        ),
        (
            lambda: positive_temperature(1e-7),
            "temperature must be from 1e-06 .*, got 1e-07",
        ),
        (lambda: positive_scale(1e7), "scale must be from 1e-12 to 1e[+]06, got 10000000.0"),
        (lambda: positive_margin(1e7), "margin must be from 0 to 1e[+]06, got 10000000.0"),
    ],
)
def test_numbers__state_their_bounds(call, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        call()


def test_integers_and_masks__of_their_type_are_not_copied():
    rows, drop = np.array([1, 2]), np.array([True])
    assert as_integers("rows", rows) is rows
    assert as_mask("drop", drop) is drop


@pytest.mark.parametrize("kind", [as_integers, as_ids])
def test_integers__of_no_unsigned_ones_are_none(kind):
    assert kind("ids", np.empty(0, np.uint64)).tolist() == []


def test_integer__of_another_library_is_an_int():
    for value in (3.0, np.float32(3), np.int8(3), np.array(3)):
        assert type(integer("k", value, 1)) is int
        assert integer("k", value, 3, 3) == 3


@pytest.mark.parametrize("bad", [[1], 0, 4, 1.5, "1", None, True])
def test_integer__refuses(bad):
    with pytest.raises(ValueError, match="k must be"):
        integer("k", bad, 1, 3)


def test_rows__are_within_the_table():
    assert as_rows("rows", [0, 2], 3).tolist() == [0, 2]
    for bad in ([3], [-1]):
        with pytest.raises(ValueError, match=r"rows must be within 0\.\.2"):
            as_rows("rows", bad, 3)


NO_INTEGERS = [True, np.bool(True), 1.0, 1.5, np.float64(3), np.nan, np.timedelta64(1), "1", None]
NO_INTEGERS += [[1], np.array(1), -1, 2**63, np.uint64(2**64 - 1), 10**60]


@pytest.mark.parametrize("bad", NO_INTEGERS, ids=repr)
def test_strict_integer__refuses(bad):
    with pytest.raises(ValueError, match=r"^seed must be an integer of at least 0") as refusal:
        strict_integer("seed", bad, 0)
    assert len(str(refusal.value)) < 500


@given(st.integers(-(2**70), 2**70), st.integers(-5, 5), st.integers(5, 2**62))
def test_strict_integer__takes_what_is_within(value, least, most):
    if least <= value <= most:
        assert type(strict_integer("k", value, least, most)) is int
        assert strict_integer("k", value, least, most) == value
    else:
        with pytest.raises(ValueError, match=f"k must be an integer within {least}..{most}, got"):
            strict_integer("k", value, least, most)


@pytest.mark.parametrize("kind", [integer, strict_integer])
@pytest.mark.parametrize(
    "value, bounds, message",
    [
        (-1, (0,), "of at least 0, got -1"),
        (2**63, (0,), "of at least 0, and of at most 64 bits, got 9223372036854775808"),
        (2**63, (0, 7), "within 0..7, got 9223372036854775808"),
        (2**63, (2**63 - 1,), f"of at least {2**63 - 1}, and of at most 64 bits, got {2**63}"),
        (True, (0, 7), "within 0..7, got True"),
    ],
)
def test_integers__state_their_bounds(kind, value, bounds, message):
    with pytest.raises(ValueError) as refusal:
        kind("k", value, *bounds)
    assert str(refusal.value) == f"k must be an integer {message}"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_strict_integer__takes_those_of_numpy(dtype):
    assert type(strict_integer("k", np.dtype(dtype).type(7), 1)) is int


@pytest.mark.parametrize("bad", ["x" * 10_000, "\x1b[31m", None, 1, np.array(["a"]), ["a"]])
def test_choice__refuses(bad):
    with pytest.raises(ValueError, match=r"^count must be one of a, b, got") as refusal:
        choice("count", bad, ("a", "b"))
    assert len(str(refusal.value)) < 500
    assert str(refusal.value).isprintable()


def test_as_array__says_in_one_line_what_is_none():
    class Raises:
        def __array__(self, *_, **__):
            raise ValueError("cannot be an array\nat all")

    for kind in (as_floats, as_integers, as_ids, as_mask, as_array):
        with pytest.raises(ValueError, match=r"^hits is not an array: cannot be an array at all$"):
            kind("hits", Raises())


@pytest.mark.parametrize(
    "message, line",
    [
        ("of two\n lines", "of two lines"),
        ("\x1b[31m", "\\u001b[31m"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 77 + "..."),
    ],
)
def test_as_array__of_a_long_or_unprintable_message(message, line):
    class Raises:
        def __array__(self, *_, **__):
            raise ValueError(message)

    with pytest.raises(ValueError) as refusal:
        as_array("hits", Raises())
    assert str(refusal.value) == f"hits is not an array: {line}"


def test_row_count__names_the_candidates():
    with pytest.raises(ValueError, match=r"log_q must be of shape \(m,\), got \(\)"):
        row_count(None, "log_q", np.array(1.0))
    with pytest.raises(ValueError, match=r"n = 2 rows .* log_q has 0"):
        row_count(2, "log_q", np.empty(0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, np.nan, 1.0], r"weights must be finite and >= 0, got weights\[1\] = nan"),
        ([1.0, 1.0, -2.0], r"weights must be finite and >= 0, got weights\[2\] = -2.0"),
        ([np.inf, 1.0, 1.0], r"weights must be finite and >= 0, got weights\[0\] = inf"),
        ([1.0, 1.0], r"expected 3 weights, one for each pair, got shape \(2,\)"),
    ],
)
def test_weights_over_n__name_the_bad_weight(weights, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        weights_over_n(weights, 3, np.dtype(float))
