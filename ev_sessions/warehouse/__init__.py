"""The warehouse: one DuckDB file, its one writer, its readers, and every line of SQL. No HTTP, no Dagster.

Which module is for what, in the order of the data:

- the file itself: `connection`, `files`, `scripts`, `schema`, `migrations`, `backup`, `copying`, `failures`
- landing what was read: `fleet`, `landing`; what is read and what is not: `ledger`, `unread`
- judging it by the quality rules: `rules`, `judging`, `settings_history`, `requarantine`, `rule_hits`
- deriving: `derive`, `coverage`, `measures`, `monthly`, `views`; whether all of it adds up: `figures`
- giving it to readers: `publish`, `published_files`, `reading`
- the past: `versions`, `difference`
- the API's own sums: `reconciliation`, `comparison`

Where a line of SQL stands: in `sql/` what lands, migrates and marks, step by step; in `models/` what deriving makes, and the
views; in `questions/` what only asks.
"""
