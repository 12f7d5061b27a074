use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{Codec, Stored, seal::Opened};

/// What a store answers that may have kept a record.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Recent {
    /// The record.
    pub stored: Stored,
    /// What was made of it; `None`, if the store does not keep it.
    pub decoded: Option<Arc<Decoded>>,
}

impl From<Stored> for Recent {
    fn from(stored: Stored) -> Self {
        Self {
            stored,
            decoded: None,
        }
    }
}

/// The values of one record, decoded once for all who read it. A store that keeps the record keeps it, too, and drops both
/// together. Nothing of a sealed record is ever in it.
#[derive(Default)]
pub struct Decoded(OnceLock<Opened>);

impl Decoded {
    /// What was decoded into that codec, under that limit.
    pub(crate) fn get(&self, codec: Codec, limit: usize) -> Option<Opened> {
        let opened = self.0.get()?;
        let is_alike = opened.data.codec() == codec && opened.data.limit() == limit;
        is_alike.then(|| opened.clone())
    }

    pub(crate) fn set(&self, opened: &Opened) {
        // Somebody else may have been first, with the same.
        self.0.set(opened.clone()).ok();
    }
}

// The values are secrets.
impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{CommitId, Header, SessionData, SessionId, SessionKey, StoreTime, seal::Seal};

    const LIMIT: usize = 1 << 20;

    fn recent(seal: &Seal, key: &SessionKey) -> Recent {
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
        data.insert("n", 7).unwrap();
        let (header, body) = seal.close(key, Header::new(CommitId::random()), &data);
        let stored = Stored {
            header,
            body,
            time_to_live: Duration::from_secs(1),
            read_at: StoreTime::default(),
        };
        Recent {
            stored,
            decoded: Some(Arc::default()),
        }
    }

    #[test]
    fn a_record_is_decoded_once_for_all_who_read_it_alike() {
        let (seal, id) = (Seal::default(), SessionId::random());
        let recent = recent(&seal, id.key());
        let open = |seal: &Seal, limit| seal.open_recent(id.key(), &recent, limit).unwrap().data;
        let first = open(&seal, LIMIT);
        assert!(Arc::ptr_eq(&first, &open(&seal, LIMIT)));
        assert_eq!(first.get::<u8>("n").unwrap(), Some(7));
        assert!(!Arc::ptr_eq(&first, &open(&seal, LIMIT / 2)));
        let json = open(&seal.in_codec(Codec::Json), LIMIT);
        assert_eq!(json.codec(), Codec::Json);
    }

    #[cfg(feature = "seal")]
    #[test]
    fn nothing_is_kept_of_a_sealed_record() {
        let seal = Seal::with(crate::SealingKeys::new(&crate::SealingKey::generate()));
        let id = SessionId::random();
        let recent = recent(&seal, id.key());
        seal.open_recent(id.key(), &recent, LIMIT).unwrap();
        assert!(recent.decoded.unwrap().0.get().is_none());
    }
}
