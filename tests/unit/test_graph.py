"""The order of insertion, held against the plain definition of components."""

from collections.abc import Mapping, Set

from hypothesis import given
from hypothesis import strategies as st

from campaignpool.blueprint.compile.graph import in_order

Graph = Mapping[int, Set[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(0, 8))
    nodes = st.integers(0, max(size - 1, 0))
    return {node: draw(st.sets(nodes, max_size=4)) for node in range(size)}


def reachable(edges: Graph, start: int) -> set[int]:
    """What a node depends on, directly or not; itself only by a circle."""
    names: set[int] = set()
    new = set(edges[start])
    while new:
        names |= new
        new = {other for node in new for other in edges[node]} - names
    return names


@given(edges=graphs())
def test_components_are_the_nodes_that_depend_on_each_other(edges: Graph) -> None:
    reach = {node: reachable(edges, node) | {node} for node in edges}
    naive = {tuple(sorted(b for b in edges if b in reach[a] and a in reach[b])) for a in edges}
    result = in_order(edges)
    assert set(result) == naive
    assert sorted(node for group in result for node in group) == sorted(edges)


@given(edges=graphs())
def test_each_component_comes_after_all_that_it_depends_on(edges: Graph) -> None:
    done: set[int] = set()
    for group in in_order(edges):
        done |= set(group)
        assert all(edges[node] <= done for node in group)


@given(edges=graphs())
def test_the_order_does_not_depend_on_the_order_of_what_is_given(edges: Graph) -> None:
    assert in_order(dict(reversed(list(edges.items())))) == in_order(edges)


def test_a_long_chain_is_ordered() -> None:
    """A blueprint may have 129 tables, each below the one before."""
    assert in_order({node: {node - 1} if node else set() for node in range(129)}) == tuple((n,) for n in range(129))


def test_a_node_that_depends_on_itself_stands_alone() -> None:
    assert in_order({0: {0}, 1: {0, 1}}) == ((0,), (1,))
