"""A function on its way to machine code, stage by stage, without being called.

    jit(f).trace(*args)    Traced      a graph: what is computed
          .lower()         Lowered     a program: loops over memory, in order
          .compile()       Compiled    machine code, to be called

Each stage can be printed. A program that runs by itself goes the same way.

Read first: `Traced`, `Lowered`, `Compiled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ArgumentError, ArgumentTypeError
from ..ir.graph import Graph, TensorType, remembered
from ..ir.text import from_text, to_text
from ..late import late
from ..ops import PRIMITIVES
from ..program import Program
from ..transform.simplify import simplify
from ..trees import flatten, unflatten
from .compiled import compiled
from .create import asarray
from .plan import Plan, plan_of
from .run import evaluate
from .tensor import Tensor, concrete
from .tier import Tiered

if TYPE_CHECKING:
    from ..compile import listing
else:
    listing = late("plait.compile.listing")


class Signature(NamedTuple):
    """What a function was recorded for.

    Attributes:
        structure: of its arguments, `(args, named)`.
        leaves: the arguments in it, as examples.
        out: the structure of its results.
    """

    structure: Any
    leaves: list[Any]
    out: Any

    def types(self) -> list[Any]:
        """Return what the arguments must agree with."""
        return [_type_of(leaf) for leaf in self.leaves]


class Traced:
    """A function as a graph, recorded for arguments of some types.

    Attributes:
        graph: its inputs are the tensors and floats among the arguments, then what
            the function uses from outside.
    """

    def __init__(
        self,
        graph: Graph,
        signature: Signature | None = None,
        captured: list[Any] | None = None,
    ) -> None:
        self.graph = graph
        self._signature = signature
        self._captured = captured or []

    @classmethod
    def from_text(cls, text: str) -> Traced:
        """Read a graph that `text` or `plait show` has written.

        Raises:
            GraphError: the text is no graph.
        """
        return cls(from_text(text, PRIMITIVES))

    def __repr__(self) -> str:
        return f"<traced {self.graph!r}>"

    def text(self, stage: str = "graph") -> str:
        """Return the graph as it was recorded, or with "simplified", as it is run."""
        if stage not in ("graph", "simplified"):
            raise ArgumentError(
                "[text] there is no such stage of a graph",
                got=repr(stage),
                expected="'graph' or 'simplified'; others are of what lower() returns",
            )
        return to_text(self.graph if stage == "graph" else simplify(self.graph))

    def plan(self) -> Plan:
        """Return what running it compiled will need and cost; see `plait.plan`."""
        return plan_of(self.lower().program)

    def lower(self) -> Lowered:
        """Return the program that computes it on this machine."""
        return Lowered(self, compiled(simplify(self.graph), lasts=True))

    def check(self, *args: Any, **named: Any) -> None:
        """Run it interpreted and compiled, and compare.

        Raises:
            WrongResultError: they differ by more than rounding.
        """
        _tiered(self.graph).run_both(self.values(args, named))

    def values(self, args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """Return the values of the graph's inputs.

        Raises:
            ArgumentTypeError: the arguments have not the types of those that it was
                recorded for.
        """
        signature = self._signature
        if signature is None:
            signature = Signature(None, [], None)
            leaves = list(args)
            # Python numbers were weak when the graph was recorded.
            inputs = self.graph.inputs
            types: list[Any] = [
                float if x.weak and x.dtype.is_float else x.type for x in inputs
            ]
            if named or len(leaves) != len(types):
                raise _unlike(f"{len(leaves)} arguments", f"{len(types)} of them")
        else:
            leaves, structure = flatten((args, named))
            types = signature.types()
            if structure != signature.structure:
                raise _unlike("another structure of arguments", "the one recorded")
        leaves = [asarray(x) if hasattr(x, "__array__") else x for x in leaves]
        for i, (leaf, type) in enumerate(zip(leaves, types, strict=True)):
            if _type_of(leaf) != type:
                raise _unlike(f"{_type_of(leaf)!r} as argument {i}", repr(type))
        given = [x for x in leaves if isinstance(x, (Tensor, float))]
        return [
            evaluate(x) if isinstance(x, Tensor) else x
            for x in (*given, *self._captured)
        ]

    def results(self, values: list[Any]) -> Any:
        """Return the values of the graph's outputs as the function returns them."""
        pairs = zip(values, self.graph.outputs, strict=True)
        tensors = [concrete(value, node.dtype) for value, node in pairs]
        if self._signature is None:
            return tensors
        return unflatten(self._signature.out, tensors)


class Lowered:
    """A function as a program: kernels in Loop IR, and when each runs on what memory.

    Attributes:
        program: the program.
    """

    def __init__(self, traced: Traced, program: Program) -> None:
        self.program = program
        self._traced = traced

    def __repr__(self) -> str:
        return f"<lowered to {len(self.program.kernels)} kernels>"

    def text(self, stage: str = "schedule", kernel: int | None = None) -> str:
        """Return the program in one of the compiler's languages.

        Args:
            stage: "schedule" (which kernel runs when, on what memory), "loops" (each
                kernel in Loop IR), "llvm" (in LLVM IR), or "assembly".
            kernel: the number of the only kernel to be shown.

        Raises:
            ArgumentError: there is no such stage, or no such kernel.
        """
        return listing.listing(self.program, stage, kernel)

    def plan(self) -> Plan:
        """Return what running it will need and cost; see `plait.plan`."""
        return plan_of(self.program)

    def compile(self) -> Compiled:
        """Return it as machine code, ready to be called."""
        return Compiled(self._traced, self.program)


class Compiled:
    """A function as machine code, for arguments of the types it was recorded for.

    Its results are values: no derivative goes through a call.
    """

    def __init__(self, traced: Traced, program: Program) -> None:
        self._traced = traced
        self._program = program
        self._tiered = Tiered(simplify(traced.graph), traced.graph)
        self._tiered.compile(program)

    def __repr__(self) -> str:
        return f"<compiled {self._traced.graph!r}>"

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it.

        Raises:
            ArgumentTypeError: the arguments have not the types of those that it was
                recorded for.
        """
        values = self._traced.values(args, named)
        return self._traced.results(self._tiered.run(values))

    def text(self, kernel: int | None = None) -> str:
        """Return its machine code as assembly."""
        return listing.listing(self._program, "assembly", kernel)


@remembered
def _tiered(graph: Graph) -> Tiered:
    return Tiered(simplify(graph), graph)


def _type_of(leaf: Any) -> Any:
    """Return what the arguments of all calls of one recording have in common."""
    if isinstance(leaf, Tensor):
        return TensorType(leaf.shape, leaf.dtype)
    return float if isinstance(leaf, float) else (type(leaf), leaf)


def _unlike(got: str, expected: str) -> ArgumentTypeError:
    return ArgumentTypeError(
        "[compiled] the function was compiled for arguments of other types",
        got=got,
        expected=expected,
        fix="compile it for these too; plait.jit alone does so by itself",
    )
