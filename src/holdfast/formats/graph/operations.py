"""Which operations of a graph may be run, and what each is told in what order.

Owns the allowlist, checked before anything runs. Leaves computing them to `live`.

All of these compute from their inputs alone. What is not here could read or write files, call
Python, or change variables, or is simply not built: the error names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Graph, Node

COMPUTING = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool
    AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd BiasAddV1
    BroadcastArgs BroadcastTo Bucketize Cast Ceil CheckNumerics ClipByValue Concat ConcatV2 Const
    Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh Cumprod Cumsum DepthToSpace
    DepthwiseConv2dNative Div DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Exp ExpandDims Expm1
    Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd
    GatherV2 Greater GreaterEqual Identity IdentityN Inv InvertPermutation IsFinite IsInf IsNan
    L2Loss LeakyRelu Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr
    MatMul MatrixBandPart Max MaxPool MaxPool3D Maximum Mean Min Minimum MirrorPad Mod Mul
    MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 Pow PreventGradient Prod Range Rank
    RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Rint
    Round Rsqrt Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Snapshot
    Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose
    Unpack Where Xdivy Xlogy ZerosLike
    """.split()  # noqa: SIM905
)
"""What gives tensors for tensors."""

CALLING = frozenset(
    """
    If PartitionedCall Placeholder PlaceholderWithDefault ReadVariableOp ResourceGather
    StatefulPartitionedCall StatelessIf StatelessWhile TensorListFromTensor TensorListGetItem
    TensorListLength TensorListPushBack TensorListReserve EmptyTensorList TensorListSetItem
    TensorListStack VarHandleOp Variable VariableV2 While
    """.split()  # noqa: SIM905
)
"""What calls functions, and what gives or takes variables and lists."""

_IGNORED = frozenset(("Assert", "NoOp"))
"""What only has to come before something else, and gives nothing."""

OUTPUTS = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV2": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance"),
    "TopKV2": ("values", "indices"),
}
"""The names of the outputs of what has several, where they are not one list."""

_DEEPEST_CALL = 64
_FILES = ("File", "PyFunc", "Save", "Restore", "Print", "Summary", "Iterator", "Dataset", "Remote")
_CHANGES = ("Assign", "Scatter", "Apply")


class OutsideError(FormatError):
    """An operation would reach outside the graph."""


def check(graph: Graph, outputs: list[str]) -> None:
    """Refuse a graph in which anything outside the allowlist would have to run.

    Args:
        graph: to be run.
        outputs: the nodes whose values are wanted.

    Raises:
        FormatError: it has such an operation, which is named, or a function that calls itself.
    """
    _check_functions(graph, list(_reachable(graph, outputs)), ())


def _reachable(graph: Graph, outputs: list[str]) -> Iterator[Node]:
    seen = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in seen:
            continue
        seen.add(name)
        node = graph.nodes.get(name)
        if node is None:
            raise FormatError(f"{graph.name} is not sound: it has no operation {name!r}.")
        yield node
        waiting += [*node.inputs, *node.before]


def _check_functions(graph: Graph, nodes: list[Node], callers: tuple[str, ...]) -> None:
    checked: set[str] = set()

    def visit(nodes: list[Node], callers: tuple[str, ...]) -> None:
        for node in nodes:
            _check_node(node, graph.name, callers)
            for name in node.attributes.functions():
                if name in callers or len(callers) >= _DEEPEST_CALL:
                    raise FormatError(f"{graph.name} is refused: its function {name!r} never ends.")
                if name not in checked:
                    function = graph.function(name)
                    visit(list(function.nodes.values()), (*callers, name))
                    checked.add(name)

    visit(nodes, callers)


def _check_node(node: Node, name: str, callers: tuple[str, ...]) -> None:
    if node.op in COMPUTING or node.op in CALLING or node.op in _IGNORED:
        return
    where = f"{name}: {'/'.join([*callers[-1:], node.name])}"
    if any(word in node.op for word in _FILES):
        raise OutsideError(
            f"{where} is refused: the operation {node.op} reaches outside the graph. Holdfast runs "
            "nothing that a file brings along."
        )
    if any(word in node.op for word in _CHANGES):
        raise FormatError(
            f"{where}: the operation {node.op} changes a variable, and what is served here does "
            "not change. Build the model and load the weights with load_weights."
        )
    raise FormatError(
        f"{where}: the operation {node.op} is not one that Holdfast can run. Build the model and "
        "load the weights with load_weights."
    )


def problem(graph: Graph, outputs: list[str]) -> tuple[bool, str] | None:
    """Return whether what stands in the way is unsafe, and what it is; None if nothing does."""
    try:
        check(graph, outputs)
    except FormatError as error:
        return isinstance(error, OutsideError), str(error)
    return None


def order(nodes: Mapping[str, Node], wanted: tuple[str, ...], name: str) -> list[Node]:
    """Return the nodes that are needed for `wanted`, each after those it needs.

    Args:
        nodes: of a graph or function, by name.
        wanted: inputs, as nodes name them.
        name: of the graph or function, for errors.

    Raises:
        FormatError: some need each other.
    """
    done: dict[str, Node] = {}
    entered: set[str] = set()
    waiting = [name_of(source) for source in reversed(wanted)]
    while waiting:
        key = waiting[-1]
        node = nodes.get(key)
        if node is None or key in done:
            waiting.pop()
            continue
        entered.add(key)
        needs = [key for key in map(name_of, node.inputs) if key in nodes and key not in done]
        if not needs:
            done[key] = node
            waiting.pop()
        elif any(need in entered for need in needs):
            raise FormatError(f"{name} is not sound: {key!r} needs its own value.")
        else:
            waiting += needs
    return list(done.values())


def name_of(source: str) -> str:
    """Return the node that an input is of, or the argument that it is."""
    return source.partition(":")[0]


def place_of(source: str, nodes: Mapping[str, Node], name: str) -> tuple[str, int]:
    """Return the node that an input is of, and which of its outputs it is.

    Args:
        source: `node`, `node:1`, `node:output:1` or `argument`.
        nodes: of the graph or function.
        name: of the graph or function, for errors.

    Raises:
        FormatError: it is none of these.
    """
    key, *rest = source.split(":")
    if not rest:
        return key, 0
    node = nodes.get(key)
    number = rest[-1]
    if node is None or len(rest) > 2 or not number.isdecimal() or len(number) > 6:
        raise FormatError(f"{name} is not sound: it names {source!r}, which is no output.")
    names = OUTPUTS.get(node.op)
    if len(rest) == 1 or names is None:
        return key, int(number)
    if rest[0] not in names:
        raise FormatError(f"{name}: {node.op} has no output {rest[0]!r} that Holdfast computes.")
    return key, names.index(rest[0])
