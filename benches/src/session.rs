use latchkey::{SessionData, SessionId, Sessions, ValueError};

use crate::{Record, Result, Subject};

impl Subject for Sessions {
    type Name = SessionId;

    async fn create(&self, record: &Record) -> Result<SessionId> {
        let mut session = Self::create(self);
        let id = session.id().clone();
        session.insert(Record::COUNT, 0_u64)?;
        let text = record.text();
        for name in Record::TEXTS {
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
        Ok(session.get(Record::COUNT)?.ok_or("the counter is gone")?)
    }
}

pub(crate) fn add_one(session: &mut SessionData) -> Result<u64, ValueError> {
    session.modify(Record::COUNT, |count: &mut u64| {
        *count += 1;
        *count
    })
}
