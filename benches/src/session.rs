use latchkey::{SessionData, SessionId, Sessions, ValueError};

use crate::{
    Record, Result, Subject,
    record::{COUNT, TEXTS},
};

impl Subject for Sessions {
    type Name = SessionId;

    async fn create(&self, record: &Record) -> Result<SessionId> {
        let mut session = Self::create(self);
        let id = session.id().clone();
        session.insert(COUNT, 0_u64)?;
        let text = record.text();
        for name in TEXTS {
            session.insert(name, &text)?;
        }
        session.commit().await?;
        Ok(id)
    }

    async fn cycle(&self, id: &SessionId) -> Result<u64> {
        Ok(self.with(id, async |session| add_one(session)).await?)
    }

    async fn update(&self, id: &SessionId) -> Result<u64> {
        Ok(Self::update(self, id, add_one).await?)
    }

    async fn read(&self, id: &SessionId) -> Result<u64> {
        let session = self.snapshot(id).await?.ok_or("the session is gone")?;
        Ok(session.get(COUNT)?.ok_or("the counter is gone")?)
    }
}

fn add_one(session: &mut SessionData) -> Result<u64, ValueError> {
    session.modify(COUNT, |count: &mut u64| {
        *count += 1;
        *count
    })
}
