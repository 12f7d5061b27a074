//! Arbitrary bytes in the place of a record: values or a typed error, never a panic, and a header that was read is written
//! back as it was.
//!
//! `cargo fuzz run record`, from the root of the repository.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use session_core::{Header, SessionId, read_record};

static ID: LazyLock<SessionId> = LazyLock::new(SessionId::random);

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, body)) = Header::decode(bytes) {
        let mut again = Vec::new();
        header.encode(&mut again);
        assert_eq!(again, bytes[..body]);
    }
    let record = bytes.to_vec().into();
    read_record(ID.key(), &record, 1 << 16).ok();
});
