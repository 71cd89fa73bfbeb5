"""The gradient of max pooling on a CPU, in a form that XLA compiles into fast loops.

Owns finding it in a step and computing it. XLA's CPU compiler goes over
`select_and_scatter_add` one number after the other, which was more than half of a training step
of a small convolutional network. Where windows do not overlap, the same bits come of comparing
whole arrays. Leaves when that is worth doing to `phase`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun

GRADIENT = "select_and_scatter_add"
"""The primitive that max pooling's gradient is."""

# A window's places are compared one after the other: many of them are no gain.
_MOST_PLACES = 64


def compared(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return `step` with the gradients of max pooling computed by comparing.

    The gradients are the same to the bit. What is made of them may be rounded in another way where
    XLA compiles it together with them, as always when a program changes. Gradients of windows that
    overlap or reach beyond the array stay as they are, and so do those in branches and in what is
    computed twice to save memory.
    """

    @functools.wraps(step)
    def run(*arguments: Any) -> Any:
        # JAX keeps traces by function: one of its own, so that a step is traced with each shape.
        traced, shape = jax.make_jaxpr(functools.partial(step), return_shape=True)(*arguments)
        found = jaxpr_as_fun(_rewritten(traced))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return run


def _rewritten(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return a jaxpr with each such gradient in its new form, in those within it too."""
    equations = [_in_new_form(equation) for equation in closed.jaxpr.eqns]
    return closed.replace(jaxpr=closed.jaxpr.replace(eqns=equations))


def _in_new_form(equation: JaxprEqn) -> JaxprEqn:
    parameters = equation.params
    if equation.primitive.name != GRADIENT:
        inner = {
            name: _rewritten(value)
            for name, value in parameters.items()
            if isinstance(value, ClosedJaxpr)
        }
        return equation.replace(params={**parameters, **inner}) if inner else equation
    gradient, operand = (atom.aval for atom in equation.invars)
    if not _is_comparable((*gradient.shape, *operand.shape), parameters):
        return equation
    window = parameters["window_dimensions"]
    (call,) = jax.make_jaxpr(jax.jit(functools.partial(_gradient, window=window)))(
        gradient, operand
    ).eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars)


def _is_comparable(sizes: Sequence[int], parameters: dict[str, Any]) -> bool:
    """Return whether windows lie side by side within the array, each choosing its greatest."""
    window = parameters["window_dimensions"]
    return (
        parameters["select_prim"].name == "ge"
        and tuple(parameters["window_strides"]) == tuple(window)
        and all(tuple(pads) == (0, 0) for pads in parameters["padding"])
        and 1 < math.prod(window) <= _MOST_PLACES
        and all(sizes)
    )


def _gradient(gradient: Any, operand: Any, window: Sequence[int]) -> Any:
    """Return the gradient of max pooling with windows side by side.

    Args:
        gradient: of what the pooling gave: one number for each window.
        operand: what the pooling was given.
        window: the size of a window, for each dimension.
    """
    places = list(itertools.product(*map(range, window)))
    ends = [
        [first + (count - 1) * size + 1 for first, count, size in along]
        for along in (zip(place, gradient.shape, window, strict=True) for place in places)
    ]
    chosen = _first_greatest(
        [lax.slice(operand, place, end, window) for place, end in zip(places, ends, strict=True)]
    )
    nothing = jnp.zeros((), gradient.dtype)
    total = None
    for number, (place, end) in enumerate(zip(places, ends, strict=True)):
        here = jnp.where(chosen == number, gradient, nothing)
        spread = [
            (before, whole - after, size - 1)
            for before, whole, after, size in zip(place, operand.shape, end, window, strict=True)
        ]
        here = lax.pad(here, nothing, spread)
        total = here if total is None else total + here
    return total


def _first_greatest(values: Sequence[Any]) -> Any:
    """Return which is the greatest, the first of equals, as XLA's windows choose it.

    What is not a number gives way to whatever comes after it.
    """
    greatest = values[0]
    chosen = jnp.zeros(greatest.shape, jnp.int32)
    for number, value in enumerate(values[1:], start=1):
        stays = greatest >= value
        chosen = jnp.where(stays, chosen, number)
        greatest = jnp.where(stays, greatest, value)
    return chosen
