use session_core::{
    Attempt, CommitError, Committed, Header, Leaves, Pointer, RecordError, RecordKind, Revision,
    Rotation, SessionKey, StoreTime, UserKey, identity,
};
use session_lock::FencingToken;
use tokio_postgres::types::ToSql;

use super::{
    Look, Notes, PostgresRecords,
    row::{Found, head, user_bytes},
    users::{Stop, admit, begin_moving, close, end, lock_user},
};
use crate::{
    number::{key_bytes, ms, signed},
    postgres::Transaction,
};

/// What a move has come to.
enum Moved {
    To(Revision),
    /// The session has no time left: it is ended instead.
    Over,
}

impl PostgresRecords {
    /// Lets a session go on under another ID.
    pub(super) async fn move_session(
        &self,
        key: &SessionKey,
        token: FencingToken,
        mut rotation: Rotation,
    ) -> Result<Committed, CommitError> {
        let action = "change the ID of a session";
        let attempt = self.next_attempt();
        rotation.header.digest.note(attempt);
        let write = async || {
            let transaction = self.postgres().begin(action).await?;
            let notes = self.notes();
            let moved = move_in(&transaction, notes, key, token, &rotation, attempt).await;
            close(transaction, moved).await
        };
        let delivered = self.deliver(write).await?;
        let error = match delivered.answer {
            Ok(Moved::To(revision)) => {
                return Ok(Committed {
                    revision,
                    commit_id: rotation.header.commit_id,
                });
            }
            Ok(Moved::Over) => CommitError::Expired,
            Err(error) => error,
        };
        match delivered.lost {
            // It may have been moved, and have ended under its new ID since.
            Some(lost)
                if matches!(
                    error,
                    CommitError::Rotated | CommitError::Destroyed | CommitError::Expired
                ) =>
            {
                Err(CommitError::Unknown(lost.error))
            }
            _ => Err(error),
        }
    }
}

async fn move_in(
    transaction: &Transaction<'_>,
    notes: Notes,
    key: &SessionKey,
    token: FencingToken,
    rotation: &Rotation,
    attempt: Attempt,
) -> Result<Moved, Stop> {
    begin_moving(transaction).await?;
    let login = rotation.login.as_ref();
    let user = match login {
        Some((_, login)) => Some(login.user),
        None => UserKey::of_session(rotation.header.user_tag, key.bucket()),
    };
    // Before any record: whoever ends all sessions of a user comes before or after.
    let known = match &user {
        Some(user) => Some(lock_user(transaction, user).await?),
        None => None,
    };
    let sql = include_str!("../../sql/rotation_hold.sql");
    let rows = transaction.query(sql, &[&key_bytes(key)]).await?;
    let row = rows.first();
    let look = Look::new(key, row.map(Found::read));
    if let Some(revision) = moved_before(transaction, &rotation.to, attempt).await? {
        return Ok(Moved::To(revision));
    }
    let base = identity(RecordKind::Live, rotation.base);
    match look.refusal(token) {
        CommitError::Conflict if look.is_version(&base) => {}
        refused => return Err(refused.into()),
    }
    let (Look::Found(old), Some(row)) = (look, row) else {
        return Err(CommitError::Expired.into());
    };
    let (listed, labels): (Option<&[u8]>, &[u8]) = (row.get(8), row.get(9));
    if old.header.user_tag != 0 && listed.is_none() {
        return Err(CommitError::Destroyed.into());
    }
    let now = old.now;
    let mut header = rotation.header.clone();
    header.revision = old.header.revision.next(now);
    if let (Some((timeouts, login)), Some(known)) = (login, &known) {
        admit(transaction, notes, known, login, header.handle).await?;
        header.created = now;
        header.absolute_end = now.after(timeouts.absolute());
    }
    if header.time_to_live(now).is_zero() {
        notes.ends(transaction, key).await?;
        end(transaction, key, now, b"L").await?;
        return Ok(Moved::Over);
    }
    let labels = login.map_or(labels, |(_, login)| &login.labels[..]);
    let user = user.as_ref().map(user_bytes);
    enter(transaction, rotation, &header, now, user, labels).await?;
    notes.written(transaction, &rotation.to).await?;
    notes.moved(transaction, key).await?;
    let grace = signed(now.after(rotation.grace).as_millis());
    match &rotation.leaves {
        Leaves::Alias(pointer) => point(transaction, pointer, grace).await?,
        Leaves::Frozen => {
            let sql = include_str!("../../sql/rotation_freeze.sql");
            transaction.query(sql, &[&key_bytes(key), &grace]).await?;
        }
        Leaves::Tombstone => end(transaction, key, now, b"L").await?,
    }
    for earlier in &rotation.earlier {
        let sql = include_str!("../../sql/rotation_repoint.sql");
        let (key, head) = (key_bytes(&earlier.key), head(&earlier.header));
        let (body, now) = (&earlier.body[..], signed(now.as_millis()));
        transaction.query(sql, &[&key, &head, &body, &now]).await?;
    }
    for key in &rotation.forgotten {
        end(transaction, key, now, b"A").await?;
    }
    Ok(Moved::To(header.revision))
}

/// Whether an earlier copy of this attempt has done it. Asked under the lock of the row that it would have locked.
async fn moved_before(
    transaction: &Transaction<'_>,
    to: &SessionKey,
    attempt: Attempt,
) -> Result<Option<Revision>, Stop> {
    let sql = include_str!("../../sql/record_look.sql");
    let rows = transaction.query(sql, &[&key_bytes(to)]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let found = Found::read(row);
    let found = found.map_err(|fault| CommitError::Record(RecordError::new(to, fault)))?;
    // Nobody else knows the new ID, so whatever stands there has become of this attempt.
    let ours = found.header.digest.contains(attempt) || found.header.digest.may_have_lost(attempt);
    if ours {
        Ok(Some(found.header.revision))
    } else {
        Err(CommitError::Conflict.into())
    }
}

async fn enter(
    transaction: &Transaction<'_>,
    rotation: &Rotation,
    header: &Header,
    now: StoreTime,
    user: Option<Vec<u8>>,
    labels: &[u8],
) -> Result<(), Stop> {
    let sql = include_str!("../../sql/rotation_enter.sql");
    let expires = now.after(header.time_to_live(now));
    let params: [&(dyn ToSql + Sync); 10] = [
        &key_bytes(&rotation.to),
        &head(header),
        &&rotation.body[..],
        &signed(header.revision.0),
        &signed(header.created.as_millis()),
        &signed(header.absolute_end.as_millis()),
        &ms(header.idle_timeout),
        &signed(expires.as_millis()),
        &user,
        &labels,
    ];
    transaction.query(sql, &params).await?;
    Ok(())
}

async fn point(
    transaction: &Transaction<'_>,
    pointer: &Pointer,
    grace_end: i64,
) -> Result<(), Stop> {
    let sql = include_str!("../../sql/rotation_point.sql");
    let header = &pointer.header;
    let params: [&(dyn ToSql + Sync); 8] = [
        &key_bytes(&pointer.key),
        &head(header),
        &&pointer.body[..],
        &signed(header.revision.0),
        &signed(header.created.as_millis()),
        &signed(header.absolute_end.as_millis()),
        &ms(header.idle_timeout),
        &grace_end,
    ];
    transaction.query(sql, &params).await?;
    Ok(())
}
