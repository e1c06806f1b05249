"""Options: the table's entry on the class, the value on the instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hostler.config.kinds import Many, Text, Volume, Whole
from hostler.config.option import Group, Option


class Stable(Group):
    """A group of this test's own."""

    heading = "Stable"

    max_horses = Option(Whole(1), "8", "How many.", short="-m", gunicorn="horses", uwsgi="horse mare")
    names = Option(Many(Text()), "none", "Their names.")
    oats = Option(Volume("0"), 2048, "What they eat.", unit="bytes per second")

    @property
    def values(self) -> Mapping[str, Any]:
        return {"max_horses": 3}


def test_entry_on_the_class() -> None:
    option = Stable.max_horses
    assert (option.name, option.flag, option.variable) == ("max_horses", "--max-horses", "HOSTLER_MAX_HORSES")
    assert option.default_text == "8"
    assert (option.gunicorn, option.uwsgi, option.uvicorn) == (["horses"], ["horse", "mare"], [])


def test_value_on_the_instance() -> None:
    assert Stable().max_horses == 3


def test_value_cannot_change() -> None:
    with pytest.raises(AttributeError, match=r"^max_horses cannot change: a Config is immutable$"):
        Stable().max_horses = 4  # type: ignore[assignment]


def test_default_is_shown_as_its_kind_shows_it() -> None:
    assert Stable.oats.default_text == "2K"
    assert Stable.names.default_text == "none"


def test_group_keeps_the_order_of_its_options() -> None:
    assert [option.name for option in Stable.options()] == ["max_horses", "names", "oats"]


def test_group_alone_has_no_values() -> None:
    with pytest.raises(NotImplementedError):
        _ = Group().values
