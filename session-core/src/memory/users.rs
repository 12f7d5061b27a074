//! Users in memory, and the steps that touch several sessions at once.

use std::{collections::HashMap, sync::MutexGuard};

use bytes::Bytes;
use session_lock::Moment;

use super::table::{Shard, shard_of};
use crate::{
    CommitError, Committed, Creation, CredentialTag, Header, Leaves, Listed, LoginTicket,
    Revocation, Rotation, SessionHandle, SessionKey, Standing, StoreTime, UserEntry, UserKey,
    WhenFull,
};

/// The users of a store. Pure state: the caller brings the time and the mutual exclusion.
#[derive(Default)]
pub(super) struct UserTable {
    users: HashMap<UserKey, User>,
    /// When everything was revoked.
    floor: Option<StoreTime>,
}

#[derive(Default)]
struct User {
    epoch: u64,
    disabled: bool,
    credential: Option<CredentialTag>,
    sessions: HashMap<SessionHandle, Member>,
}

struct Member {
    key: SessionKey,
    labels: Bytes,
}

impl UserTable {
    pub(super) fn standing(&self, user: &UserKey, now: StoreTime) -> Standing {
        let (known, user) = (self.users.get(user), *user);
        Standing {
            ticket: LoginTicket {
                user,
                epoch: known.map_or(0, |known| known.epoch),
                issued: now,
            },
            disabled: known.is_some_and(|known| known.disabled),
        }
    }

    pub(super) fn enable(&mut self, user: &UserKey) {
        if let Some(user) = self.users.get_mut(user) {
            user.disabled = false;
        }
    }

    /// A session is over that stood under `key`.
    pub(super) fn forget(&mut self, key: &SessionKey, header: &Header) {
        let Some(user) = UserKey::of_session(header.user_tag, key.bucket()) else {
            return;
        };
        if let Some(known) = self.users.get_mut(&user) {
            let is_it = |member: &Member| member.key == *key;
            if known.sessions.get(&header.handle).is_some_and(is_it) {
                known.sessions.remove(&header.handle);
            }
            if known.sessions.is_empty() {
                known.credential = None;
                if known.epoch == 0 && !known.disabled {
                    self.users.remove(&user);
                }
            }
        }
    }

    fn member(&self, key: &SessionKey, header: &Header) -> Option<&Member> {
        let user = UserKey::of_session(header.user_tag, key.bucket())?;
        let member = self.users.get(&user)?.sessions.get(&header.handle)?;
        (member.key == *key).then_some(member)
    }

    fn is_superseded(&self, user: &UserKey, ticket: LoginTicket) -> bool {
        let epoch = self.users.get(user).map_or(0, |user| user.epoch);
        ticket.epoch != epoch || self.floor.is_some_and(|floor| floor >= ticket.issued)
    }
}

/// The whole of a store, locked.
pub(super) struct Whole<'a> {
    pub(super) shards: Vec<MutexGuard<'a, Shard>>,
    pub(super) users: MutexGuard<'a, UserTable>,
    pub(super) now: Moment,
    pub(super) time: StoreTime,
}

impl Whole<'_> {
    fn shard(&mut self, key: &SessionKey) -> &mut Shard {
        &mut self.shards[shard_of(key)]
    }

    /// Stores a session of a user for the first time.
    pub(super) fn create(
        &mut self,
        key: &SessionKey,
        creation: Creation,
        login: &UserEntry,
    ) -> Result<Committed, CommitError> {
        let (time, handle) = (self.time, creation.header.handle);
        self.admit(login, handle)?;
        let committed = self.shard(key).records.create(key, creation, time)?;
        self.note(key, handle, login.user, login.labels.clone());
        Ok(committed)
    }

    /// Lets a session go on under another ID, if `may_write`.
    pub(super) fn rotate(
        &mut self,
        from: SessionKey,
        rotation: Rotation,
        may_write: impl FnOnce(&Shard) -> Result<(), CommitError>,
    ) -> Result<Committed, CommitError> {
        let time = self.time;
        let shard = self.shard(&from);
        shard.records.check_live(&from, time)?;
        may_write(shard)?;
        let standing = shard.records.live_copy(&from, time);
        let old = standing.ok_or(CommitError::Expired)?.header;
        if old.commit_id != rotation.base {
            return Err(CommitError::Conflict);
        }
        let labels = self.users.member(&from, &old);
        let labels = labels.map(|member| member.labels.clone());
        // A session that is not in its user's list any more is about to be ended.
        if old.user_tag != 0 && labels.is_none() {
            return Err(CommitError::Destroyed);
        }
        let mut header = rotation.header;
        header.revision = old.revision.next(time);
        if let Some((timeouts, login)) = &rotation.login {
            self.admit(login, header.handle)?;
            header.created = time;
            header.absolute_end = time.after(timeouts.absolute());
        }
        if header.time_to_live(time).is_zero() {
            self.end(&from);
            return Err(CommitError::Expired);
        }
        self.users.forget(&from, &old);
        let (revision, commit_id) = (header.revision, header.commit_id);
        let entered = match rotation.login {
            Some((_, login)) => Some((login.user, login.labels)),
            None => UserKey::of_session(old.user_tag, from.bucket()).zip(labels),
        };
        if let Some((user, labels)) = entered {
            self.note(&rotation.to, header.handle, user, labels);
        }
        let records = &mut self.shard(&rotation.to).records;
        records.enter(&rotation.to, header, rotation.body, time);
        let records = &mut self.shard(&from).records;
        match rotation.leaves {
            Leaves::Alias(pointer) => records.point(pointer, rotation.grace, time),
            Leaves::Frozen => records.freeze(&from, rotation.grace, time),
            Leaves::Tombstone => drop(records.leave_nothing(&from, time)),
        }
        records.has_moved(&from);
        for earlier in rotation.earlier {
            let records = &mut self.shard(&earlier.key).records;
            records.repoint(earlier, time);
        }
        for key in &rotation.forgotten {
            self.shard(key).records.end_alias(key, time);
        }
        Ok(Committed {
            revision,
            commit_id,
        })
    }

    pub(super) fn list(&mut self, user: &UserKey) -> Vec<Listed> {
        let time = self.time;
        let members = self.members(user);
        let listed = |(handle, key): (SessionHandle, SessionKey)| {
            let stored = self.shard(&key).records.live_copy(&key, time)?;
            let member = self.users.member(&key, &stored.header)?;
            Some(Listed {
                handle,
                created: stored.header.created,
                last_seen: stored.header.last_use(stored.time_to_live, time),
                labels: member.labels.clone(),
            })
        };
        members.into_iter().filter_map(listed).collect()
    }

    pub(super) fn revoke(&mut self, user: &UserKey, which: Revocation) -> u64 {
        if let Revocation::All | Revocation::Disable = which {
            let known = self.users.users.entry(*user).or_default();
            known.epoch += 1;
            known.disabled |= which == Revocation::Disable;
        }
        let is_meant = |handle| match which {
            Revocation::One(one) => handle == one,
            Revocation::Others(kept) => handle != kept,
            Revocation::All | Revocation::Disable => true,
        };
        let members = self.members(user).into_iter();
        let ended = members
            .filter(|(handle, _)| is_meant(*handle))
            .filter(|(_, key)| self.end(key));
        ended.count() as u64
    }

    pub(super) fn revoke_everything(&mut self) {
        self.users.floor = Some(self.time);
        let (shards, time) = (self.shards.iter(), self.time);
        let keys: Vec<_> = shards
            .flat_map(|shard| shard.records.all_readable(time))
            .collect();
        for key in keys {
            self.end(&key);
        }
    }

    /// Checks a login, and ends what it is to end.
    fn admit(&mut self, login: &UserEntry, own: SessionHandle) -> Result<(), CommitError> {
        let known = self.users.users.get(&login.user);
        if known.is_some_and(|known| known.disabled) {
            return Err(CommitError::UserDisabled);
        }
        let superseded = |ticket| self.users.is_superseded(&login.user, ticket);
        if login.ticket.is_some_and(superseded) {
            return Err(CommitError::Superseded);
        }
        let known_credential = known.and_then(|known| known.credential);
        let is_new_credential = login.credential.is_some() && known_credential.is_some();
        let is_new_credential = is_new_credential && login.credential != known_credential;
        let time = self.time;
        let mut others = self.members(&login.user);
        others.retain(|(handle, _)| *handle != own);
        let mut others: Vec<_> = others
            .into_iter()
            .filter_map(|(_, key)| {
                let stored = self.shard(&key).records.live_copy(&key, time)?;
                Some((stored.header.created, key))
            })
            .collect();
        others.sort_unstable_by_key(|(created, _)| *created);
        let allowed = login.limit.max.saturating_sub(1) as usize;
        let surplus = if is_new_credential {
            others.len()
        } else {
            others.len().saturating_sub(allowed)
        };
        if surplus > 0 && !is_new_credential && login.limit.when_full == WhenFull::Refuse {
            return Err(CommitError::TooManySessions {
                limit: login.limit.max,
            });
        }
        for (_, key) in others.drain(..surplus) {
            self.end(&key);
        }
        if login.credential.is_some() {
            let known = self.users.users.entry(login.user).or_default();
            known.credential = login.credential;
        }
        Ok(())
    }

    fn note(&mut self, key: &SessionKey, handle: SessionHandle, user: UserKey, labels: Bytes) {
        let known = self.users.users.entry(user).or_default();
        known.sessions.insert(handle, Member { key: *key, labels });
    }

    fn members(&self, user: &UserKey) -> Vec<(SessionHandle, SessionKey)> {
        let known = self.users.users.get(user);
        let sessions = known.map(|known| &known.sessions);
        sessions
            .into_iter()
            .flatten()
            .map(|(handle, member)| (*handle, member.key))
            .collect()
    }

    /// Ends a session whoever holds its lock; whether it lived.
    fn end(&mut self, key: &SessionKey) -> bool {
        let time = self.time;
        let shard = self.shard(key);
        shard.locks.free(key);
        let ended = shard.records.end(key, time);
        if let Some(header) = &ended {
            self.users.forget(key, header);
        }
        ended.is_some()
    }

    /// What lives.
    pub(super) fn live(&self, time: StoreTime) -> Vec<(SessionKey, Header)> {
        let shards = self.shards.iter();
        shards
            .flat_map(|shard| shard.records.all_live(time))
            .collect()
    }

    /// Forgets what has expired; what that was.
    pub(super) fn sweep(&mut self) -> Vec<(SessionKey, Header)> {
        let (now, time) = (self.now, self.time);
        let mut all_expired = Vec::new();
        for shard in &mut self.shards {
            let expired = shard.records.sweep(time);
            shard.locks.sweep(now);
            for (key, header) in &expired {
                self.users.forget(key, header);
            }
            all_expired.extend(expired);
        }
        all_expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionId, UserId};

    #[test]
    fn a_user_without_sessions_takes_no_memory() {
        let mut users = UserTable::default();
        let user = UserId::from(7).key();
        let id = SessionId::random_in(user.bucket());
        let mut header = Header::new(crate::CommitId::random());
        header.user_tag = user.tag();
        let known = users.users.entry(user).or_default();
        let (key, labels) = (*id.key(), Bytes::new());
        known.sessions.insert(header.handle, Member { key, labels });
        assert!(users.member(&key, &header).is_some());
        users.forget(&key, &header);
        assert!(users.users.is_empty());
    }
}
