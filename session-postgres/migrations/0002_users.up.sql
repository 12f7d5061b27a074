-- Who has sessions. The row of a user is locked by whatever changes which sessions the user has.
CREATE TABLE latchkey_users (
    user_key bytea PRIMARY KEY CHECK (octet_length(user_key) = 10),
    -- Counts the revocations of all of the user's sessions.
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    disabled boolean NOT NULL DEFAULT false,
    -- A hash of what the user has logged in with last.
    credential bytea CHECK (octet_length(credential) = 16),
    changed_ms bigint NOT NULL CHECK (changed_ms >= 0)
);

CREATE INDEX latchkey_records_user ON latchkey_records (user_key) WHERE user_key IS NOT NULL;

-- One row: when everything was revoked.
CREATE TABLE latchkey_floor (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    revoked_ms bigint NOT NULL CHECK (revoked_ms >= 0)
);

INSERT INTO latchkey_floor (revoked_ms) VALUES (0);
