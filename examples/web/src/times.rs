use latchkey::StoreTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment as in RFC 3339, to the second: `2026-11-21T09:30:00Z`.
pub(crate) fn rfc_3339(time: StoreTime) -> String {
    let seconds = i64::try_from(time.as_millis() / 1000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds);
    let text = time.ok().and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_default()
}

/// The same for people: `2026-11-21 09:30:00 UTC`.
pub(crate) fn readable(time: StoreTime) -> String {
    rfc_3339(time).replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_second() {
        let time = StoreTime::from_millis(1_795_253_400_999);
        assert_eq!(rfc_3339(time), "2026-11-21T09:30:00Z");
        assert_eq!(readable(time), "2026-11-21 09:30:00 UTC");
    }
}
