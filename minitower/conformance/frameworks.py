"""Calling an implementation: NumPy returns its gradients, the others are differentiated.

Each framework is imported when it is used. All return the result and the gradients by name, as
NumPy arrays. Outputs that cannot be compared raise :class:`Unusable`.

Chapter 17.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minitower.conformance.formula import Formula, Outputs, Unusable

Run = Callable[[Callable[..., Any], Formula, list[Any], str], Outputs]


def runner(framework: str) -> Run:
    """Return what calls implementations written in a framework.

    Raises:
        ValueError: no such framework.
        ModuleNotFoundError: it is not installed.
    """
    if framework not in FRAMEWORKS:
        raise ValueError(f"no framework {framework!r}; there are {', '.join(FRAMEWORKS)}")
    try:
        library = importlib.import_module(framework)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"framework {framework} needs a package that is not installed: pip install {framework}"
        ) from error

    def run(fn: Callable[..., Any], formula: Formula, inputs: list[Any], dtype: str) -> Outputs:
        value, gradients = FRAMEWORKS[framework](library, fn, formula, inputs, dtype)
        return as_arrays(formula, inputs, value, gradients)

    return run


def _numpy(_: Any, fn: Callable[..., Any], formula: Formula, inputs: list[Any], dtype: str) -> Any:
    before = [np.copy(x) for x in inputs]
    returned = fn(*inputs)
    for argument, x, then in zip(formula.arguments, inputs, before, strict=True):
        if not np.array_equal(x, then):
            raise Unusable(f"changed its argument {argument.name} in place")
    names = formula.gradients
    if not names:
        return returned, ()
    form = f"({formula.result}, gradients), the gradients a dict or a tuple of {', '.join(names)}"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise Unusable(f"returned {_kind(returned)}, expected {form}")
    value, gradients = returned
    if not isinstance(gradients, Mapping):
        several = gradients if isinstance(gradients, tuple | list) else (gradients,)
        if len(several) != len(names):
            raise Unusable(f"returned {len(several)} gradients, expected {form}")
        gradients = dict(zip(names, several, strict=True))
    known = {name: gradients.get(name, gradients.get(name[2:])) for name in names}
    missing = [name for name, gradient in known.items() if gradient is None]
    if missing:
        raise Unusable(f"returned no {missing[0]}, expected {form}")
    return value, known.values()


def _converted(formula: Formula, inputs: list[Any], dtype: Any, convert: Any) -> list[Any]:
    """The arrays, and the numbers with a gradient, as tensors of a framework."""
    return [
        convert(x, dtype=dtype if a.kind == "float" else None)
        if isinstance(x, np.ndarray) or a.gradient
        else x
        for a, x in zip(formula.arguments, inputs, strict=True)
    ]


def _torch(
    torch: Any, fn: Callable[..., Any], formula: Formula, inputs: list[Any], dtype: str
) -> Any:
    tensors = _converted(formula, inputs, getattr(torch, dtype), torch.tensor)
    learned = [t.requires_grad_() for t, a in zip(tensors, formula.arguments) if a.gradient]
    value = _alone(fn(*tensors))
    if not isinstance(value, torch.Tensor):
        raise Unusable(f"returned {_kind(value)}, expected a tensor: the {formula.result} alone")
    result = value.detach().cpu().numpy()
    if not learned:
        return result, ()
    _refuse_many(formula, result)
    if not value.requires_grad:
        raise Unusable(
            "the loss does not depend on its inputs: it was detached, or built from constants"
        )
    gradients = torch.autograd.grad(value, learned, allow_unused=True, materialize_grads=True)
    return result, [(g.to_dense() if g.is_sparse else g).numpy() for g in gradients]


def _jax(jax: Any, fn: Callable[..., Any], formula: Formula, inputs: list[Any], dtype: str) -> Any:
    with jax.enable_x64(dtype == "float64"):
        arrays = _converted(formula, inputs, dtype, jax.numpy.asarray)
        learned = [i for i, a in enumerate(formula.arguments) if a.gradient]
        if not learned:
            return _alone(fn(*arrays)), ()

        def loss(*arguments: Any) -> Any:
            value = _alone(fn(*arguments))
            _refuse_many(formula, value)
            return jax.numpy.reshape(value, ())

        return jax.value_and_grad(loss, argnums=learned)(*arrays)


def _tensorflow(
    tf: Any, fn: Callable[..., Any], formula: Formula, inputs: list[Any], dtype: str
) -> Any:
    with tf.GradientTape() as tape:
        tensors = _converted(formula, inputs, dtype, tf.constant)
        learned = [t for t, a in zip(tensors, formula.arguments) if a.gradient]
        tape.watch(learned)
        value = _alone(fn(*tensors))
    if not learned:
        return value, ()
    _refuse_many(formula, value)
    gradients = tape.gradient(value, learned, unconnected_gradients="zero")
    return value, [tf.convert_to_tensor(g).numpy() for g in gradients]


FRAMEWORKS = {"numpy": _numpy, "torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
"""Name of a framework, its module and its package -> what calls an implementation.

It returns the result, and the gradients in order.
"""


def _alone(returned: Any) -> Any:
    """The loss of {"loss": loss, ...} and of (loss, {...}), as training loops return it."""
    if isinstance(returned, Mapping) and "loss" in returned:
        return returned["loss"]
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        return returned[0]
    return returned


def _refuse_many(formula: Formula, value: Any) -> None:
    """Only one number has a gradient."""
    if isinstance(value, tuple | list):
        raise Unusable(f"returned {_kind(value)}, expected the {formula.result} alone")
    shape = tuple(np.shape(value))
    if np.prod(shape) != 1:
        raise Unusable(
            f"returned {formula.result} of shape {shape}, expected one number, such as the mean"
        )


def _kind(returned: Any) -> str:
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {len(returned)}"
    return f"{'an' if type(returned).__name__[0] in 'aeiou' else 'a'} {type(returned).__name__}"


def as_arrays(formula: Formula, inputs: list[Any], value: Any, gradients: Any) -> Outputs:
    """Results and gradients as arrays of numbers; a gradient has its argument's shape."""
    outputs: Outputs = {}
    named = {formula.result: value, **dict(zip(formula.gradients, gradients, strict=True))}
    for name, x in named.items():
        try:
            outputs[name] = np.asarray(x)
            if name == formula.result and formula.gradients and outputs[name].size == 1:
                outputs[name] = outputs[name].reshape(())
            numeric = outputs[name].dtype.kind in "fiub"
        except (ValueError, TypeError):
            numeric = False
        if not numeric:
            raise Unusable(f"returned {_kind(x)} as {name}, expected numbers")
    for argument, x in zip(formula.arguments, inputs, strict=True):
        name = f"d_{argument.name}"
        if name in outputs and outputs[name].shape != np.shape(x):
            raise Unusable(
                f"returned {name} of shape {outputs[name].shape}, expected {np.shape(x)}, "
                f"the shape of {argument.name}"
            )
    return outputs
