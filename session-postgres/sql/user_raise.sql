-- user_raise: from now on, no login of the user that has begun gets in.
-- $1 user  $2 whether later ones do not either
INSERT INTO latchkey_users AS known (user_key, epoch, disabled, changed_ms)
VALUES ($1, 1, $2, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT (user_key) DO UPDATE
SET epoch = known.epoch + 1,
    disabled = known.disabled OR excluded.disabled,
    credential = NULL,
    changed_ms = greatest(known.changed_ms, excluded.changed_ms)
