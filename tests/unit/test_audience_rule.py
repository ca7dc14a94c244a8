"""How a group is cut into atoms, in numbers; what that is worth is attacked in tests/contract/test_audience_releases.py."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.audience import FAMILIES, OTHER, POOL, Trait, groups, partition, persons, release, rounded

K = 10
REST = (OTHER,)


def tallies(sizes):
    return {(value,): Counter({1: size}) for value, size in sizes.items()}


@pytest.mark.parametrize(
    ("sizes", "atoms"),
    [
        pytest.param({}, {}, id="nobody"),
        pytest.param({"a": 10}, {"a": 10}, id="one value"),
        pytest.param({"a": 9}, {}, id="too few in all"),
        pytest.param({"a": 10, "b": 10}, {"a": 10, "b": 10}, id="no small value: no other"),
        pytest.param({"a": 20, "b": 6, "c": 4}, {"a": 20, OTHER: 10}, id="small values together are enough"),
        pytest.param({"a": 20, "b": 12, "c": 4}, {"a": 20, OTHER: 16}, id="the smallest large value fills up"),
        pytest.param({"a": 20, "b": 20, "c": 1}, {"b": 20, OTHER: 21}, id="of equals the first by name"),
        pytest.param({"a": 20, "c": 1}, {OTHER: 21}, id="none is left"),
        pytest.param({"a": 5, "b": 4}, {}, id="too few of everything"),
    ],
)
def test_a_partition(sizes, atoms):
    found = partition(tallies(sizes), K, {}, REST)
    assert {key[0]: tally.total() for key, tally in found.items()} == atoms


CELLS = st.dictionaries(
    st.tuples(*3 * [st.sampled_from("abcd")]), st.dictionaries(st.integers(0, 2), st.integers(1, 15)).map(Counter), max_size=12
)


@given(CELLS, st.integers(1, 40))
def test_everybody_is_in_one_atom_and_every_atom_is_large_enough(cells, k):
    coarser = {key: (key[0], OTHER, OTHER) for key in cells}
    atoms = partition(cells, k, coarser, 3 * REST)
    assert all(persons(tally) >= k for tally in atoms.values())
    everybody = sum(cells.values(), Counter())
    assert sum(atoms.values(), Counter()) == (everybody if persons(everybody) >= k else Counter())


@given(st.dictionaries(st.sampled_from(["ann", "ben", "cid"]), CELLS), st.integers(1, 40))
def test_a_release_is_of_large_groups_and_adds_up_alike_by_each_trait(by_partner, k):
    released = groups(by_partner, k)
    told = list(release("technology", released, k))
    assert {atom.partner for atom in told} == set(released)
    assert all(atom.visitors == rounded(atom.visitors) for atom in told)
    for partner, cells in released.items():
        everybody = sum(cells.values(), Counter()).total()
        for trait in FAMILIES["technology"]:
            numbers = [atom.visitors for atom in told if (atom.partner, atom.trait) == (partner, trait)]
            assert abs(sum(numbers) - everybody) <= 5 * len(numbers)


@given(st.dictionaries(st.sampled_from(["ann", "ben", "cid"]), CELLS), st.integers(1, 40))
def test_everybody_is_in_one_group(by_partner, k):
    found = groups(by_partner, k)
    few = {partner: sum(cells.values(), Counter()) for partner, cells in by_partner.items() if partner not in found}
    assert all(persons(tally) < k for tally in few.values())
    together = sum(few.values(), Counter())
    assert sum(found.get(POOL, {}).values(), Counter()) == (together if persons(together) >= k else Counter())
    assert all(found[partner] == by_partner[partner] for partner in found if partner != POOL)


def test_a_combination_that_few_have_keeps_its_device_if_that_is_enough():
    cells = {
        ("desktop", "Chrome", "Windows"): Counter({1: 30}),
        ("desktop", "Firefox", "Linux"): Counter({1: 6}),
        ("desktop", "Edge", "Windows"): Counter({1: 7}),
        ("mobile", "Safari", "iOS"): Counter({1: 20}),
    }
    told = {(atom.trait, atom.value): atom.visitors for atom in release("technology", {"ann": cells}, K)}
    assert {value: n for (trait, value), n in told.items() if trait is Trait.DEVICE} == {"desktop": 40, "mobile": 20}
    assert {value: n for (trait, value), n in told.items() if trait is Trait.OS} == {"Windows": 30, "iOS": 20, OTHER: 10}


def test_every_trait_is_of_one_family():
    assert sorted(trait for traits in FAMILIES.values() for trait in traits) == sorted(Trait)


@pytest.mark.parametrize(("exact", "told"), [(50, 50), (54, 50), (55, 60), (59, 60)])
def test_numbers_are_told_in_tens(exact, told):
    assert rounded(exact) == told
