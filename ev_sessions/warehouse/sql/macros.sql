-- Words that every connection to a database knows.

{ratio};

-- Whole hours from a day's end to a stamp. In plain numbers: making a stamp of a day takes DuckDB 5 microseconds, for each row.
CREATE OR REPLACE TEMP MACRO age(stamp, day) AS
    epoch_us(stamp) // 3600000000 - 24 * (day - DATE '1970-01-01' + 1);

-- Whether a read with this outcome brought a list of sessions.
CREATE OR REPLACE TEMP MACRO has_list(outcome) AS
    outcome IN ('complete', 'count_mismatch');

-- Whether it says what there is, be it that there is nothing any more.
CREATE OR REPLACE TEMP MACRO is_answer(outcome) AS
    outcome IN ('complete', 'count_mismatch', 'gone')
