"""What every optimizer is: groups of parameters, their state, a rule to update them.

A concrete optimizer is three functions. `init` makes a parameter's state.
`coefficients` turns hyperparameters and the number of the step into the numbers of its
rule, in Python's own precision. `update` is the rule, for one parameter, on tensors,
without side effects. Everything else is here, once: the updates of a whole group are
recorded as one step.

Read first: `Optimizer`, `Optimizer.step`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plait
from plait import Tensor

from ..arguments import Checked, Parameters
from ..errors import ArgumentError, ArgumentTypeError, ShapeError, StateDictError
from ..names import missing
from .terms import wide

Group = dict[str, Any]
Rule = Callable[..., tuple[Tensor, dict[str, Tensor]]]
# Hyperparameters of the same meaning everywhere; numbers or tensors.
_NEVER_NEGATIVE = ("lr", "eps", "weight_decay", "momentum", "lr_decay", "l1", "l2")


class Optimizer(Checked):
    """The base of all optimizers.

    Rules are computed in at least float32, and what they keep is float32 for parameters
    of float16 and bfloat16: in 16 bits a mean that takes in a thousandth of each new
    value would never move. What is added to such a parameter is still rounded to its
    type, though, and a step below 1/512 of a bfloat16 number (1/4096 of a float16
    number) is lost. Better keep parameters in float32 and compute in 16 bits, with
    `plait.autocast` or `fit(precision="bfloat16")`.

    Args:
        params: tensors to optimize, or dicts with `params` and hyperparameters of their
            own, for groups.
        defaults: hyperparameters for groups that do not give their own.

    Attributes:
        param_groups: a list of dicts: `params` and hyperparameters, which may be
            changed between steps; changed floats cost nothing.
        state: for each parameter that was updated, the tensors that the rule keeps.
        steps: for each parameter that was updated, how often.

    Raises:
        ArgumentError: there are no parameters, one is given twice, or a hyperparameter
            is out of range.
        ArgumentTypeError: a parameter is no tensor.
    """

    # Numbers among the hyperparameters that say how much is done, as a count of turns:
    # they are known while a step is recorded, in an exported one too.
    fixed: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.steps: dict[Tensor, int] = {}
        if isinstance(params, (Tensor, Mapping, str)):
            raise ArgumentTypeError(
                f"[{self.name}] params must be an iterable of tensors or of dicts",
                got=f"a {type(params).__name__}",
                fix="pass model.parameters(), or a list",
            )
        entries = list(params)
        if not entries:
            raise ArgumentError(f"[{self.name}] there are no params to optimize")
        if not isinstance(entries[0], Mapping):
            entries = [{"params": entries}]
        for entry in entries:
            self.add_param_group(entry)

    # What a concrete optimizer says, with hyperparameters by name. (Positional ones
    # stand here for type checkers alone: they then accept each optimizer's own names.)

    def check(self, *_: Any, **hyperparameters: Any) -> None:
        """Raise ArgumentError unless the hyperparameters of a group are in range.

        Here: those whose range is the same for all optimizers that have them.
        """
        for name in _NEVER_NEGATIVE:
            number = hyperparameters.get(name)
            if number is not None and not isinstance(number, Tensor):
                self.refuse(not number >= 0, f"{name} is negative", number)
        betas = hyperparameters.get("betas", ())
        self.refuse(
            not all(0 <= beta < 1 for beta in betas), "betas are not in [0, 1)", betas
        )

    @staticmethod
    def init(parameter: Tensor, *_: Any, **hyperparameters: Any) -> dict[str, Tensor]:
        """Return what the rule keeps for `parameter`, before its first step.

        It is given the parameter in at least float32, and what it returns keeps its
        types; see `begin`.
        """
        return {}

    @staticmethod
    def coefficients(step: int, *_: Any, **hyperparameters: Any) -> dict[str, Any]:
        """Return the numbers of step number `step`, from 1, by the names `update` has.

        Numbers may differ at each step. Whatever else is returned, such as True, or
        None for a term that is off, is known while the rule is recorded. All arithmetic
        between numbers is to be done here: in `update` it would be done in 32 bits.

        In an exported step the number of the step and the hyperparameters that are not
        0 are float64 tensors without values: no `if`, but what `terms.py` has.
        """
        raise NotImplementedError

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *_: Any,
        **coefficients: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the parameter and its state after one step, of the same types."""
        raise NotImplementedError

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        """Return sets of hyperparameters for the tests, for each branch of the rule.

        With the first, the tests expect it to find the minima of simple functions.
        """
        return []

    def refuse(self, condition: bool, what: str, got: Any) -> None:
        """Raise ArgumentError if `condition`: a hyperparameter is out of range."""
        if condition:
            raise ArgumentError(f"[{self.name}] {what}", got=repr(got))

    if not TYPE_CHECKING:  # else every name would pass for one of ours
        __getattr__ = missing("plait.optim.Optimizer")

    # What is the same for all

    @property
    def name(self) -> str:
        """The name of the optimizer."""
        return type(self).__name__

    @property
    def rule(self) -> Rule | None:
        """`update`, or None if there is no rule that takes one gradient."""
        return None if type(self).update is Optimizer.update else self.update

    def begin(
        self, parameter: Tensor, hyperparameters: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """Return what is kept for a parameter before its first step."""
        return self.init(wide(parameter.detach()), **hyperparameters)

    def owners(self) -> list[Optimizer]:
        """Return for each group the optimizer that updates it: this one, as a rule."""
        return [self] * len(self.param_groups)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize further parameters, with hyperparameters of their own.

        Args:
            group: a dict with `params`, a tensor or an iterable of tensors, and any of
                the hyperparameters.
        """
        given = dict(group)
        tensors = given.pop("params", None)
        if isinstance(tensors, Tensor):
            tensors = [tensors]
        if tensors is None or isinstance(tensors, (str, Mapping)):
            raise ArgumentTypeError(
                f"[{self.name}] a group needs `params`, an iterable of tensors",
                got=f"a {type(tensors).__name__}",
            )
        tensors = list(tensors)
        self._check_parameters(tensors)
        unknown = [name for name in given if name not in (*self.defaults, "name")]
        if unknown:
            raise ArgumentError(
                f"[{self.name}] a group has a hyperparameter that the optimizer lacks",
                got=", ".join(map(repr, unknown)),
                expected=", ".join(self.defaults),
            )
        Parameters(type(self).__init__, method=True).check(self.name, (), given)
        full = {"params": tensors, **self.defaults, **given}
        self.check(**{name: full[name] for name in self.defaults})
        self.param_groups.append(full)

    def _check_parameters(self, tensors: Sequence[Any]) -> None:
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise ArgumentTypeError(
                    f"[{self.name}] params must be tensors",
                    got=f"a {type(tensor).__name__}",
                )
            if not tensor.is_leaf:
                raise ArgumentError(
                    f"[{self.name}] a computed tensor cannot be optimized",
                    got=f"a tensor of shape {tensor.shape}",
                    fix="optimize the tensors that it is computed from",
                )
            if id(tensor) in known:
                raise ArgumentError(
                    f"[{self.name}] a parameter is given twice",
                    got=f"a tensor of shape {tensor.shape}",
                )
            known.add(id(tensor))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to 0."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad = plait.zeros_like(parameter.grad)

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        skip: Tensor | None = None,
    ) -> Any:
        """Update all parameters that have a gradient, and run what is recorded.

        Nothing is changed if it fails.

        Args:
            closure: computes the gradients first and returns the loss.
            skip: a bool of shape (); if it turns out to be true, nothing changes but
                the number of the step. Nothing waits for it.

        Returns:
            What `closure` returned; None without one.
        """
        loss = None
        if closure is not None:
            with plait.enable_grad():
                loss = closure()
        layout = []
        tensors: list[Tensor] = []
        operands: list[Any] = []
        updated = []
        for owner, group in zip(self.owners(), self.param_groups, strict=True):
            active = [p for p in group["params"] if p.grad is not None]
            if active:
                updated.append((owner, active))
                layout.append(owner._gather(group, active, tensors, operands))
        if layout:
            if skip is not None:
                operands.append(skip)
            rule = _updating(tuple(layout), skip is not None)
            rule(tensors, operands)
        else:
            plait.flush()
        for owner, active in updated:
            for parameter in active:
                owner.steps[parameter] += 1
        return loss

    def _gather(
        self,
        group: Group,
        active: list[Tensor],
        tensors: list[Tensor],
        operands: list[Any],
    ) -> _Layout:
        """Add what one step of `active` parameters changes to `tensors`, and what else
        it needs to `operands`.
        """
        hyperparameters = {name: group[name] for name in self.defaults}
        tensors += active
        operands += [parameter.grad for parameter in active]
        names = []
        counts = []
        for parameter in active:
            state = self.state.get(parameter)
            if state is None:
                state = self.begin(parameter, hyperparameters)
                self.state[parameter] = state
                self.steps[parameter] = 0
            names.append(tuple(state))
            tensors += state.values()
            counts.append(self.steps[parameter])
        if counts.count(counts[0]) == len(counts):
            del counts[1:]
        for count in counts:
            numbers = self.coefficients(count + 1, **hyperparameters)
            for x in numbers.values():
                operands.append(float(x) if x.__class__ is int else x)
        return self.rule or self.update, tuple(names), tuple(numbers), len(counts)

    # A step as a function

    def updated(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: Mapping[str, Tensor],
        step: Any,
        hyperparameters: Mapping[str, Any],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what a step makes of one parameter and its state; change nothing.

        Args:
            gradient: of the parameter's shape.
            state: what `begin` returned, or this function.
            step: the number of the step, from 1: an integer, or a scalar tensor of
                float64.
            hyperparameters: as in a group. Those that are numbers and not 0 may be
                scalar tensors of float64 too.

        Returns:
            The new parameter and its new state.
        """
        numbers = self.coefficients(step, **hyperparameters)
        # What a Python number does by itself when it meets a tensor.
        numbers = {
            name: x.to(wide(parameter).dtype) if isinstance(x, Tensor) else x
            for name, x in numbers.items()
        }
        rule = self.rule or self.update
        return _update_one(rule, parameter, gradient, dict(state), numbers)

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return hyperparameters, states and numbers of steps, as they are now.

        Returns:
            `param_groups`: the groups, with numbers in place of parameters. `state`:
            for each such number `step` and the tensors that the rule keeps.
        """
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {
            numbers[id(p)]: {
                "step": self.steps[p],
                **{name: x.detach() for name, x in tensors.items()},
            }
            for p, tensors in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken: optimization continues as it would have.

        Nothing is changed if it fails.

        Args:
            state_dict: what `state_dict()` returned, for parameters of equal shapes.
                Tensors of other types are converted.

        Raises:
            StateDictError: groups, names or shapes differ from this optimizer's.
        """
        groups, given = self._checked_groups(state_dict)
        state: dict[Tensor, dict[str, Tensor]] = {}
        steps: dict[Tensor, int] = {}
        parameters = self._parameters()
        at = 0
        for owner, group in zip(self.owners(), groups, strict=True):
            hyperparameters = {name: group[name] for name in owner.defaults}
            for i in group["params"]:
                parameter = parameters[at]
                at += 1
                if i not in given:
                    continue
                tensors = dict(given[i])
                try:
                    steps[parameter] = int(tensors.pop("step"))
                    expected = owner.begin(parameter, hyperparameters)
                    state[parameter] = _fitted(tensors, expected)
                except (KeyError, TypeError, ValueError) as error:
                    raise self._unfit(
                        f"parameter {i} of shape {parameter.shape}: {error}"
                    ) from None
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update((n, x) for n, x in group.items() if n != "params")
        self._keep(state, steps)

    def _keep(
        self, state: dict[Tensor, dict[str, Tensor]], steps: dict[Tensor, int]
    ) -> None:
        self.state, self.steps = state, steps

    def _checked_groups(self, state_dict: Any) -> tuple[list[Group], Mapping[Any, Any]]:
        try:
            groups = [dict(group) for group in state_dict["param_groups"]]
            given = dict(state_dict["state"])
            sizes = [len(group["params"]) for group in groups]
            pairs = zip(self.owners(), groups, strict=False)
            missing = [n for owner, g in pairs for n in owner.defaults if n not in g]
        except (KeyError, TypeError, ValueError) as error:
            raise self._unfit(f"no state dict of an optimizer: {error!r}") from None
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise self._unfit(f"groups of {sizes} parameters for groups of {own}")
        if missing:
            raise self._unfit(f"groups without {', '.join(missing)}")
        return groups, given

    def _unfit(self, got: str) -> StateDictError:
        return StateDictError(
            f"[load_state_dict] the state does not fit this {self.name}; nothing was "
            "changed",
            got=got,
        )

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{self.name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {n}: {x}" for n, x in group.items() if n != "params"]
        return "\n".join([*lines, ")"])


def _fitted(
    given: Mapping[str, Any], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the given tensors in the types of the expected ones."""
    if set(given) != set(expected):
        raise ValueError(f"{sorted(given)} instead of {sorted(expected)}")
    result = {}
    for name, like in expected.items():
        value = plait.asarray(given[name]).detach()  # a handle of our own
        if value.shape != like.shape:
            raise ValueError(f"{name} of shape {value.shape} instead of {like.shape}")
        result[name] = value if value.dtype is like.dtype else value.to(like.dtype)
    return result


# What the flat lists of a group hold: the rule, the names of the state of each
# parameter, the names of the coefficients, and how many sets of coefficients there are:
# one for all parameters, or one for each.
_Layout = tuple[Rule, tuple[tuple[str, ...], ...], tuple[str, ...], int]


@functools.cache
def _updating(layout: tuple[_Layout, ...], may_skip: bool) -> Callable[..., None]:
    """Return the function that applies the rules to all parameters at once.

    It takes flat lists, which are quick to record: for each group the parameters, then
    their states; and for each group the gradients, then the coefficients. With
    `may_skip`, the last operand is whether all are to stay as they are.
    """

    def rule(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
        rest, others = iter(tensors), iter(operands)
        new = []
        for update, names, labels, sets in layout:
            parameters = [next(rest) for _ in names]
            gradients = [next(others) for _ in names]
            states = [{name: next(rest) for name in own} for own in names]
            numbers = [{label: next(others) for label in labels} for _ in range(sets)]
            sets_of_numbers = numbers if sets > 1 else numbers * len(names)
            rows = zip(parameters, gradients, states, sets_of_numbers, strict=True)
            results = [_update_one(update, *row) for row in rows]
            new += [parameter for parameter, _ in results]
            for own, (_, state) in zip(names, results, strict=True):
                new += [state[name] for name in own]
        if may_skip:
            skip = next(others)
            pairs = zip(tensors, new, strict=True)
            return [plait.where(skip, old, one) for old, one in pairs]
        return new

    return plait.updating(rule)


def _update_one(
    update: Rule,
    parameter: Tensor,
    gradient: Tensor,
    state: dict[str, Tensor],
    numbers: dict[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Apply the rule to one parameter; everything keeps its type.

    It is computed in at least float32, as is the state: in 16 bits an eps of 1e-8 is 0,
    as are squares of small gradients, and 0 is divided by 0.
    """
    if gradient.shape != parameter.shape:
        raise ShapeError(
            "[step] a gradient differs in shape from its parameter",
            got=f"{gradient.shape} for a parameter of shape {parameter.shape}",
        )
    try:
        inner = wide(parameter)
        new, kept = update(inner, gradient.to(inner.dtype), state, **numbers)
    except KeyError as error:
        raise ArgumentError(
            "[step] the state lacks what the hyperparameters ask for now",
            got=f"no {error}",
            fix="set the hyperparameter when making the optimizer, or make a new one",
        ) from None
    return new.to(parameter.dtype), {n: kept[n].to(x.dtype) for n, x in state.items()}
