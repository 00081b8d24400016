-- What {table} has per {grain}, over the rows whose {cut_by} lies in $first..$last.
SELECT {grain} AS day, {aggregates}
FROM {table}
WHERE {cut_by} BETWEEN $first AND $last
GROUP BY day
ORDER BY day
