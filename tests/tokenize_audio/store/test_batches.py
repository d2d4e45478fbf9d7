"""What a step holds is a function of the seed and the step alone, however many processes look."""

from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from solfa.tokenize_audio.store.batches import CropSampler, EpochSampler, StoreDataset
from solfa.tokenize_audio.store.store import TokenStore

LENGTHS = [[30, 0, 41, 20], [], [12, 55, 33], [24]]
pytestmark = pytest.mark.filterwarnings("ignore:.*are left out")


@pytest.fixture
def store(make_store: Callable[..., TokenStore]) -> TokenStore:
    return make_store(LENGTHS)


def same(a: object, b: object) -> bool:
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(a, b, strict=True))  # type: ignore[call-overload]


def test_a_step_depends_on_seed_and_step_only(store: TokenStore) -> None:
    for make in (CropSampler, EpochSampler):
        one, other = make(store, 10, 4, 7), make(TokenStore(store.path), 10, 4, 7)
        forth = [one.at(step) for step in range(12)]
        back = [other.at(step) for step in reversed(range(12))][::-1]
        assert all(same(a, b) for a, b in zip(forth, back, strict=True))
        assert not all(same(a, b) for a, b in pairwise(forth))
        assert not all(same(make(store, 10, 4, 8).at(step), forth[step]) for step in range(2))


def test_the_numbers_are_the_same_everywhere(store: TokenStore) -> None:
    """Golden: what another numpy, another machine and next year's solfa must draw."""
    items, starts = CropSampler(store, 10, 4, (1 << 64) - 1).at(10**12)
    assert (items.tolist(), starts.tolist()) == ([6, 4, 5, 7], [18, 2, 25, 14])
    items, starts = EpochSampler(store, 10, 4, 3).at(5)
    assert (items.tolist(), starts.tolist()) == ([3, 2, 5], [1, 10, 37])


def test_crops_lie_within_items_and_every_place_is_drawn(store: TokenStore) -> None:
    sampler = CropSampler(store, 12, 500, 0)
    items, starts = (np.concatenate(each) for each in zip(*(sampler.at(step) for step in range(20)), strict=True))
    places = store.lengths - 12 + 1
    assert (starts >= 0).all() and (starts < places[items]).all()
    drawn = np.bincount(items, minlength=len(store))
    expected = 10_000 * np.where(places > 0, store.lengths, 0) / store.lengths[places > 0].sum()
    assert (drawn[places <= 0] == 0).all()
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(expected.max())  # 5 standard deviations
    seen = {(item, start) for item, start in zip(items.tolist(), starts.tolist(), strict=True)}
    assert len(seen) == places[places > 0].sum()
    even = np.bincount(np.concatenate([CropSampler(store, 12, 500, 0, weight="item").at(s).items for s in range(20)]))
    assert np.abs(even[places > 0] - 10_000 / (places > 0).sum()).max() < 5 * np.sqrt(10_000 / 7)


def test_clips_hardly_longer_than_a_crop_are_heard_as_much_as_there_is_of_them(
    make_store: Callable[..., TokenStore],
) -> None:
    store = make_store([[13] * 30, [200]])
    items = np.concatenate([CropSampler(store, 12, 500, 0).at(step).items for step in range(10)])
    share = 30 * 13 / (30 * 13 + 200)
    assert abs((items < 30).mean() - share) < 5 * np.sqrt(share * (1 - share) / len(items))


def test_an_epoch_has_each_item_once(store: TokenStore) -> None:
    for frames, short, expected in ((12, "skip", [0, 2, 3, 4, 5, 6, 7]), (25, "pad", list(range(8)))):
        sampler = EpochSampler(store, frames, 3, 1, short=short)
        steps = sampler.steps_per_epoch
        orders = []
        for epoch in range(3):
            found = [sampler.at(epoch * steps + step) for step in range(steps)]
            items = np.concatenate([each.items for each in found])
            assert sorted(items.tolist()) == expected
            orders.append(items.tolist())
            starts = np.concatenate([each.starts for each in found])
            assert (starts <= np.maximum(store.lengths[items] - frames, 0)).all()
        assert orders[0] != orders[1] != orders[2]
        assert [len(sampler.at(step).items) for step in range(steps)] == [3] * (steps - 1) + [
            (len(expected) - 1) % 3 + 1
        ]


def test_an_epoch_without_its_last_step(store: TokenStore) -> None:
    """All steps are whole ones, of the items in the same order."""
    all_of_it, whole = EpochSampler(store, 12, 3, 1), EpochSampler(store, 12, 3, 1, drop_last=True)
    assert (all_of_it.steps_per_epoch, whole.steps_per_epoch) == (3, 2)
    assert (all_of_it.sizes, whole.sizes) == ((3, 1), (3,))
    for step in range(2):
        assert same(all_of_it.at(step), whole.at(step))
    assert all(len(set(whole.at(step).items.tolist())) == 3 for step in range(9))
    assert EpochSampler(store, 12, 7, 1).sizes == (7,) and EpochSampler(store, 12, 9, 1).sizes == (7,)
    with pytest.raises(
        ValueError, match="batch must be at most 7, the items of an epoch, where drop_last is set; not 8"
    ):
        EpochSampler(store, 12, 8, 1, drop_last=True)


def test_splits(store: TokenStore) -> None:
    chosen = CropSampler(store, 5, 200, 0, split="valid").at(0).items
    assert {store.splits[item] for item in chosen} == {"valid"}
    assert set(EpochSampler(store, 5, 9, 0, split="valid").at(0).items) == set(chosen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1 << 64}, "seed must be"),
        ({"weight": "size"}, "weight must be one of length, item"),
        ({"short": "cut"}, "short must be one of skip, pad"),
        ({"split": "test"}, r"no items of the split 'test' \(there are train, valid\)"),
        ({"frames": 56}, "none of 8 items has 56 frames"),
    ],
)
def test_what_cannot_be_drawn(store: TokenStore, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropSampler(store, **{"frames": 5, "batch": 2, "seed": 0} | arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="counted from 0"):
        CropSampler(store, 5, 2, 0).at(-1)


@pytest.mark.filterwarnings("default")
def test_short_items_are_told(store: TokenStore) -> None:
    with pytest.warns(UserWarning, match="2 of 8 items are shorter than 20 frames and are left out"):
        CropSampler(store, 20, 2, 0)


def test_batches_are_the_crops(store: TokenStore) -> None:
    sampler = CropSampler(store, 20, 6, 0, short="pad", weight="item")
    batch = StoreDataset(store, sampler, pad=1024)[3]
    assert batch.codes.shape == (6, 4, 20) and batch.codes.dtype == torch.int16
    for codes, item, start in zip(batch.codes, batch.items.tolist(), batch.starts.tolist(), strict=True):
        expected = store.codes(item, start, 20)
        assert np.array_equal(codes[:, : expected.shape[1]], expected) and (codes[:, expected.shape[1] :] == 1024).all()
    with pytest.raises(ValueError, match="cannot read 20 from 0"):  # never filled up unasked
        [StoreDataset(store, sampler)[step] for step in range(20)]


def test_workers_deliver_the_steps_in_order(store: TokenStore) -> None:
    data = StoreDataset(store, CropSampler(store, 10, 4, 7))
    expected = [data[step] for step in range(3, 11)]
    for stop in (11, None):
        loader = DataLoader(data, batch_size=None, sampler=data.steps(3, stop), num_workers=2)
        found = list(islice(loader, 8))
        assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    resumed = DataLoader(data, batch_size=None, sampler=data.steps(8, 11), num_workers=1)
    assert all(same(a, b) for a, b in zip(resumed, expected[5:], strict=True))


def test_ranks_share_a_step(store: TokenStore) -> None:
    for sampler in (CropSampler(store, 10, 6, 7), EpochSampler(store, 10, 6, 7, drop_last=True)):
        for step in range(3):
            whole = StoreDataset(store, sampler)[step]
            for world in (2, 3):
                parts = [StoreDataset(store, sampler, rank=rank, world=world)[step] for rank in range(world)]
                for rank, part in enumerate(parts):
                    assert same(part, (each[rank::world] for each in whole)) and len(part.items) == 6 // world
    for uneven, size in ((CropSampler(store, 10, 6, 7), 6), (EpochSampler(store, 10, 4, 7), 3)):
        with pytest.raises(
            ValueError, match=f"a step of {size} crops cannot be shared evenly by a world of 4: .*drop_last"
        ):
            StoreDataset(store, uneven, rank=1, world=4)
    with pytest.raises(ValueError, match="rank must be 0 to 1"):
        StoreDataset(store, sampler, rank=2, world=2)
