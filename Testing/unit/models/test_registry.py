"""The registry says the truth about every model."""

from __future__ import annotations

import re

import pytest

from medsam2.core.errors import UnknownModelError
from medsam2.models import litemedsam
from medsam2.models.registry import Family, Tracker, card_of, cards
from medsam2.models.sam2_config import CONFIGS, MEDSAM2, TINY_RANDOM

KINDS = {"box", "line", "mask", "point", "roi"}


def test_the_models_of_the_manual_are_there():
    assert list(cards()) == [
        "litemedsam",
        "medsam2-latest",
        "medsam2-ctlesion",
        "medsam2-mri-liver-lesion",
        "medsam2-us-heart",
        "sam2.1-tiny",
        "sam2.1-small",
        "sam2.1-base-plus",
        "sam2.1-large",
        "sam1-vit-b",
        "medsam-vit-b",
        "tiny-random",
        "tiny-random-chain",
    ]


@pytest.mark.parametrize("card", cards().values(), ids=list(cards()))
def test_every_card_is_complete(card):
    assert card.title
    assert card.license
    assert card.prompts <= KINDS
    assert {"box", "roi"} <= card.prompts
    assert card.sha256 is None or re.fullmatch("[0-9a-f]{64}", card.sha256)
    assert card.url is None or card.url.startswith("https://")
    assert card.url is None or card.file == card.url.rpartition("/")[2]
    downloaded = card.family in {Family.SAM2, Family.SAM1}
    assert (card.file is not None) == downloaded
    assert not downloaded or card.url or card.how_to_get
    assert (card.megabytes > 0) == (card.family is not Family.TINY_RANDOM)


@pytest.mark.parametrize("card", cards().values(), ids=list(cards()))
def test_models_with_a_memory_take_every_prompt(card):
    if card.tracker is Tracker.MEMORY:
        assert card.prompts == KINDS
        assert CONFIGS[card.config].image_size == card.image_size


def test_medsam2_is_marked_as_for_research_and_pinned_to_a_revision():
    for card in cards().values():
        is_medsam2 = card.name.startswith("medsam2-")
        assert card.research_only == is_medsam2
        if is_medsam2:
            assert card.image_size == MEDSAM2.image_size == 512
            assert re.search("/resolve/[0-9a-f]{40}/", card.url)
            assert "CC-BY-SA-4.0" in card.license
            assert card.trusts_first_download


def test_the_embedded_model_and_the_random_one_agree_with_their_code():
    assert cards()["litemedsam"].sha256 == litemedsam.SHA256
    assert cards()["litemedsam"].image_size == litemedsam.IMAGE_SIZE
    assert cards()["tiny-random"].image_size == TINY_RANDOM.image_size
    assert "tests only" in cards()["tiny-random"].title


def test_an_unknown_name_offers_the_nearest_or_all():
    with pytest.raises(UnknownModelError, match=r"did you mean medsam2-latest\?"):
        card_of("medsam2-lastest")
    with pytest.raises(UnknownModelError, match="choose one of litemedsam, "):
        card_of("?")


def test_a_card_is_its_own_card():
    card = card_of("sam2.1-tiny")
    assert card_of(card) is card
