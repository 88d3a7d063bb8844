"""Order of a graph with cycles: strongly connected components, each after those it depends on (Tarjan, 1972)."""

from collections.abc import Mapping, Set


def in_order(edges: Mapping[int, Set[int]]) -> tuple[tuple[int, ...], ...]:
    """Group nodes into components and order these so that each comes after all that it depends on.

    Args:
        edges: From a node to those it depends on; an edge to itself does not matter.

    Returns:
        Components with their nodes in ascending order. Deterministic: nodes are visited in ascending order.
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    results: list[tuple[int, ...]] = []

    def visit(node: int) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            results.append(tuple(sorted(stack[place:])))
            del stack[place:]

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return tuple(results)
