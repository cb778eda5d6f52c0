"""The checks of `ml_data` about how several tables lie to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_prodml.plugin.tables import SkewOfTables
from pytest_prodml.records import Evidence


class TablesOfData(SkewOfTables):
    """The checks of two or more tables."""

    def splits(
        self,
        tables: Mapping[str, object] | None = None,
        *,
        entity: str | None = None,
        time: str | None = None,
        duplicates: bool = True,
        near_duplicates: bool = True,
        ignore: Sequence[str] = (),
        overlap_at_most: float = 0.0,
        duplicates_at_most: float = 0.01,
        beyond_chance_at_most: float = 0.1,
    ) -> Evidence:
        """Show that the parts of a split share no entity, time or row; see `checks.data.splits`.

        Default of `tables` are reference and test, in this order; of `entity` and `time` the configured ones.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import splits

        settings = self._context.settings.data
        given = {"reference": "reference", "test": "test"} if tables is None else tables
        opened = {name: self._any_table(source, name) for name, source in given.items()}
        return self._session.settle(
            lambda: splits(
                opened,
                entity=settings.entity if entity is None else entity,
                time=settings.timestamp if time is None else time,
                duplicates=duplicates,
                near_duplicates=near_duplicates,
                ignore=ignore,
                overlap_at_most=overlap_at_most,
                duplicates_at_most=duplicates_at_most,
                beyond_chance_at_most=beyond_chance_at_most,
                **self._session.tail,
            )
        )
