use std::time::Duration;

use session_core::{
    CommitError, Committed, Creation, Digest, Header, Listed, LoginTicket, RecordError, Revision,
    Revocation, SessionHandle, SessionKey, Standing, StoreError, StoreTime, UserEntry, UserKey,
    WhenFull,
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    Notes, PostgresRecords, TOMBSTONE_TTL,
    row::{Found, head, key_of, revision, user_bytes},
};
use crate::{
    number::{key_bytes, ms, signed, unsigned},
    postgres::{CallError, Transaction},
};

/// Why a transaction goes no further. It is rolled back.
pub(super) enum Stop {
    Refused(CommitError),
    Failed(CallError),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        Self::Refused(error)
    }
}

/// A statement with its parameters.
type Step<'a> = (&'a str, &'a [&'a (dyn ToSql + Sync)]);

/// What is known of a user, whose row is locked.
pub(super) struct Known {
    epoch: u64,
    disabled: bool,
    credential: Option<Vec<u8>>,
}

// A walk through all sessions takes its time.
const LONG: Duration = Duration::from_secs(600);
// "latchkey", and one: no other program locks it.
const MOVING: i64 = 0x6c61_7463_686b_657a;

/// Ends the tombstones' time.
pub(super) fn stays_until(now: StoreTime) -> i64 {
    signed(now.after(TOMBSTONE_TTL).as_millis())
}

impl PostgresRecords {
    /// Stores a session of a user for the first time.
    pub(super) async fn create_for(
        &self,
        key: &SessionKey,
        creation: Creation,
        login: &UserEntry,
    ) -> Result<Committed, CommitError> {
        let action = "store a session of a user";
        let attempt = self.next_attempt();
        let mut header = creation.header.clone();
        header.idle_timeout = creation.timeouts.idle();
        header.digest = Digest::default();
        header.digest.note(attempt);
        let create = async || {
            let transaction = self.postgres().begin(action).await?;
            let entered = self
                .enter(&transaction, key, &creation, &header, login)
                .await;
            close(transaction, entered).await
        };
        let delivered = self.deliver(create).await?;
        match (delivered.answer, delivered.lost) {
            (Ok(revision), _) => Ok(Committed {
                revision,
                commit_id: header.commit_id,
            }),
            (Err(CommitError::Conflict), Some(lost)) => {
                let look = self.look(action, key).await;
                let look = look.map_err(|error| CommitError::Unknown(error.error))?;
                look.resolve(attempt, CommitError::Conflict, &lost)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn enter(
        &self,
        transaction: &Transaction<'_>,
        key: &SessionKey,
        creation: &Creation,
        header: &Header,
        login: &UserEntry,
    ) -> Result<Revision, Stop> {
        begin_moving(transaction).await?;
        let known = lock_user(transaction, &login.user).await?;
        // Before the check of the limit: an earlier copy of this very attempt counts as one session.
        let sql = include_str!("../../sql/record_look.sql");
        let rows = transaction.query(sql, &[&key_bytes(key)]).await?;
        if let Some(row) = rows.first()
            && !Found::read(row)
                .map_err(|fault| CommitError::Record(RecordError::new(key, fault)))?
                .is_over()
        {
            return Err(CommitError::Conflict.into());
        }
        let notes = self.notes();
        admit(transaction, notes, &known, login, header.handle).await?;
        let (params, head, user) = (key_bytes(key), head(header), user_bytes(&login.user));
        let (body, labels) = (&creation.body[..], &login.labels[..]);
        let (absolute, idle) = (ms(creation.timeouts.absolute()), ms(header.idle_timeout));
        let params: [&(dyn ToSql + Sync); 7] = [
            &params,
            &head,
            &body,
            &absolute,
            &idle,
            &Some(user),
            &labels,
        ];
        let sql = include_str!("../../sql/record_create.sql");
        let rows = transaction.query(sql, &params).await?;
        let stored = rows.first().map(revision).ok_or(CommitError::Conflict)?;
        notes.written(transaction, key).await?;
        Ok(stored)
    }

    pub(super) async fn standing_of(&self, user: &UserKey) -> Result<Standing, StoreError> {
        let action = "begin a login";
        let sql = include_str!("../../sql/user_standing.sql");
        let params = user_bytes(user);
        let rows = self.postgres().query(action, sql, &[&params]).await?;
        let (epoch, disabled, now) = rows
            .first()
            .map_or((0, false, 0), |row| (row.get(0), row.get(1), row.get(2)));
        Ok(Standing {
            ticket: LoginTicket {
                user: *user,
                epoch: unsigned(epoch),
                issued: StoreTime::from_millis(unsigned(now)),
            },
            disabled,
        })
    }

    pub(super) async fn sessions_of(&self, user: &UserKey) -> Result<Vec<Listed>, StoreError> {
        let action = "list a user's sessions";
        let sql = include_str!("../../sql/user_list.sql");
        let params = user_bytes(user);
        let rows = self.postgres().query(action, sql, &[&params]).await?;
        // What cannot be read was not written by this release, and is nobody's to show.
        Ok(rows.iter().filter_map(listed).collect())
    }

    pub(super) async fn revoke_of(
        &self,
        user: &UserKey,
        which: Revocation,
    ) -> Result<u64, StoreError> {
        let action = "revoke a user's sessions";
        let params = user_bytes(user);
        let (handle, is_meant) = match which {
            Revocation::One(handle) => (Some(handle.as_bytes().to_vec()), true),
            Revocation::Others(handle) => (Some(handle.as_bytes().to_vec()), false),
            Revocation::All | Revocation::Disable => (None, true),
        };
        let disable = which == Revocation::Disable;
        let raise: Step<'_> = match which {
            Revocation::All | Revocation::Disable => (
                include_str!("../../sql/user_raise.sql"),
                &[&params, &disable],
            ),
            _ => (include_str!("../../sql/user_lock.sql"), &[&params]),
        };
        let (share, end) = (
            include_str!("../../sql/records_share.sql"),
            include_str!("../../sql/user_revoke.sql"),
        );
        let stays = ms(TOMBSTONE_TTL);
        let all: [&(dyn ToSql + Sync); 4] = [&params, &handle, &is_meant, &stays];
        let mut steps: Vec<Step<'_>> = vec![(share, &[&MOVING]), raise];
        if self.notes() == Notes::Kept {
            let note = include_str!("../../sql/outbox_note_revoked.sql");
            steps.push((note, &all[..3]));
        }
        steps.push((end, &all));
        let ended = self.postgres().together(action, &steps).await;
        let ended = ended.map_err(|error| error.error)?.pop();
        Ok(ended.map_or(0, |rows| rows.len() as u64))
    }

    pub(super) async fn revoke_all_there_is(&self) -> Result<(), StoreError> {
        let action = "revoke all sessions";
        let patient = self.postgres().clone().call_timeout(LONG);
        let (alone, floor, end) = (
            include_str!("../../sql/records_alone.sql"),
            include_str!("../../sql/floor_raise.sql"),
            include_str!("../../sql/records_end_all.sql"),
        );
        let stays: [&(dyn ToSql + Sync); 1] = [&ms(TOMBSTONE_TTL)];
        let mut steps: Vec<Step<'_>> = vec![(alone, &[&MOVING]), (floor, &[])];
        if self.notes() == Notes::Kept {
            steps.push((include_str!("../../sql/outbox_note_ends.sql"), &[]));
        }
        steps.push((end, &stays));
        let ended = patient.together(action, &steps).await;
        ended.map_err(|error| error.error)?;
        Ok(())
    }
}

/// Commits what was done, and rolls back what was refused.
pub(super) async fn close<T>(
    transaction: Transaction<'_>,
    done: Result<T, Stop>,
) -> Result<Result<T, CommitError>, CallError> {
    match done {
        Ok(done) => {
            transaction.commit().await?;
            Ok(Ok(done))
        }
        Err(Stop::Refused(error)) => {
            transaction.roll_back().await;
            Ok(Err(error))
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Keeps whoever ends all sessions waiting: it would not find one that is under way to another ID.
pub(super) async fn begin_moving(transaction: &Transaction<'_>) -> Result<(), Stop> {
    let sql = include_str!("../../sql/records_share.sql");
    transaction.query(sql, &[&MOVING]).await?;
    Ok(())
}

/// Waits for whoever changes which sessions the user has, and keeps others from it.
pub(super) async fn lock_user(
    transaction: &Transaction<'_>,
    user: &UserKey,
) -> Result<Known, Stop> {
    let sql = include_str!("../../sql/user_lock.sql");
    let rows = transaction.query(sql, &[&user_bytes(user)]).await?;
    let known = rows.first().map(|row| Known {
        epoch: unsigned(row.get(0)),
        disabled: row.get(1),
        credential: row.get(2),
    });
    Ok(known.unwrap_or(Known {
        epoch: 0,
        disabled: false,
        credential: None,
    }))
}

/// Checks a login, ends what it is to end, and notes what the user has logged in with.
pub(super) async fn admit(
    transaction: &Transaction<'_>,
    notes: Notes,
    known: &Known,
    login: &UserEntry,
    own: SessionHandle,
) -> Result<(), Stop> {
    if known.disabled {
        return Err(CommitError::UserDisabled.into());
    }
    let sql = include_str!("../../sql/floor_read.sql");
    let rows = transaction.query(sql, &[]).await?;
    let (floor, now) = rows
        .first()
        .map_or((0, 0), |row| (unsigned(row.get(0)), unsigned(row.get(1))));
    let is_superseded =
        |ticket: LoginTicket| ticket.epoch != known.epoch || floor >= ticket.issued.as_millis();
    if login.ticket.is_some_and(is_superseded) {
        return Err(CommitError::Superseded.into());
    }
    let user = user_bytes(&login.user);
    let sql = include_str!("../../sql/user_list.sql");
    let rows = transaction.query(sql, &[&user]).await?;
    let others: Vec<_> = rows
        .iter()
        .filter(|row| Found::read(row).is_ok_and(|found| found.header.handle != own))
        .filter_map(|row| key_of(row.get(8)))
        .collect();
    let credential = login.credential.map(|tag| tag.as_bytes().to_vec());
    let is_new = credential.is_some() && known.credential.is_some();
    let is_new = is_new && credential != known.credential;
    let allowed = usize::try_from(login.limit.max.saturating_sub(1)).unwrap_or(usize::MAX);
    let surplus = if is_new {
        others.len()
    } else {
        others.len().saturating_sub(allowed)
    };
    if surplus > 0 && !is_new && login.limit.when_full == WhenFull::Refuse {
        let limit = login.limit.max;
        return Err(CommitError::TooManySessions { limit }.into());
    }
    let now = StoreTime::from_millis(now);
    // The oldest come first.
    for key in &others[..surplus] {
        notes.ends(transaction, key).await?;
        end(transaction, key, now, b"L").await?;
    }
    if let Some(credential) = credential {
        let sql = include_str!("../../sql/user_credential.sql");
        transaction.query(sql, &[&user, &credential]).await?;
    }
    Ok(())
}

/// Ends what stands under a key, if it is of that kind.
pub(super) async fn end(
    transaction: &Transaction<'_>,
    key: &SessionKey,
    now: StoreTime,
    kind: &[u8],
) -> Result<(), Stop> {
    let sql = include_str!("../../sql/rotation_end.sql");
    let params: [&(dyn ToSql + Sync); 4] = [
        &key_bytes(key),
        &stays_until(now),
        &signed(now.as_millis()),
        &kind,
    ];
    transaction.query(sql, &params).await?;
    Ok(())
}

fn listed(row: &Row) -> Option<Listed> {
    let labels: &[u8] = row.get(9);
    let found = Found::read(row).ok()?;
    let left = found.expires.saturating_since(found.now);
    Some(Listed {
        handle: found.header.handle,
        created: found.header.created,
        last_seen: found.header.last_use(left, found.now),
        labels: labels.to_vec().into(),
    })
}
