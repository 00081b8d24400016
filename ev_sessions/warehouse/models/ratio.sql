-- The rule under every ratio: sums over the rows in which both sides are known; no value where the denominator is not above 0.
CREATE OR REPLACE {macro}(numerator, denominator) AS
    CASE WHEN denominator > 0 THEN numerator / denominator END
