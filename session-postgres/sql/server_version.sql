-- server_version: 130004 for 13.4.
SELECT current_setting('server_version_num')::integer
