-- floor_read: when everything was revoked, and the time.
SELECT revoked_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM latchkey_floor
