use std::collections::BTreeMap;

use latchkey::{
    RedisSecondary, RedisStore, SecondaryStore as _, SessionData, SessionHandle,
    core::{Header, RecordKind},
};
use session_testkit::servers::RedisServer;

use crate::ChaosResult;

/// The number that each session holds under `n`, by its public name.
pub type Numbers = BTreeMap<SessionHandle, Option<u64>>;

/// What the sessions of these records hold.
///
/// # Errors
/// When one cannot be read.
pub fn numbers(records: impl IntoIterator<Item = Vec<u8>>) -> ChaosResult<Numbers> {
    let mut numbers = BTreeMap::new();
    for record in records {
        let (header, body) = Header::decode(&record)?;
        if header.kind == RecordKind::Live {
            let data = SessionData::from_encoded(header.codec(), &record[body..].to_vec().into());
            let data = data.map_err(|fault| fault.to_string())?;
            numbers.insert(header.handle, data.get("n")?);
        }
    }
    Ok(numbers)
}

/// Whatever stands under the keys of sessions.
///
/// # Errors
/// When the server cannot be asked.
pub async fn records(primary: &RedisServer) -> ChaosResult<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    let mut connection = primary.connection().await?;
    for key in primary.keys("*:session:*").await? {
        let mut get = redis::cmd("GET");
        let record: Option<Vec<u8>> = get.arg(&key).query_async(&mut connection).await?;
        // The copy of a grace may be over meanwhile.
        records.extend(record);
    }
    Ok(records)
}

/// What a secondary shows.
///
/// # Errors
/// When it cannot be read.
pub async fn shown(secondary: &RedisServer) -> ChaosResult<Numbers> {
    let store: RedisSecondary = RedisStore::builder()
        .connect_secondary(&secondary.url())
        .await?;
    let mut shown = BTreeMap::new();
    for key in secondary.keys("*:row:*").await? {
        let (_, handle) = key.rsplit_once(':').ok_or("no row")?;
        let handle = u128::from_str_radix(&handle.replace('-', ""), 16)?;
        let handle = SessionHandle::from_bytes(handle.to_be_bytes());
        if let Some(row) = store.load(handle).await? {
            let data = SessionData::from_encoded(row.codec, &row.body);
            let data = data.map_err(|fault| fault.to_string())?;
            shown.insert(handle, data.get("n")?);
        }
    }
    Ok(shown)
}
