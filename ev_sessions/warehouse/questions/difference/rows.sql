SELECT * FROM {table} WHERE session_day BETWEEN $rows_from::DATE AND $rows_to::DATE
UNION ALL
SELECT * FROM {table} SEMI JOIN near USING (electric_vehicle_id, session_day)
