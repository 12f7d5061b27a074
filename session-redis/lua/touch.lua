-- touch: count as a use of a session. Why a script: a plain PEXPIRE would outlive the absolute end, or revive what is
-- no session any more.
-- KEYS[1]  record
-- Returns  {code, now_ms, 0}: 1 touched | 0 no live record
-- include now
-- include touch
return {touch(KEYS[1]), now_ms, 0}
