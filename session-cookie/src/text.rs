//! Base64 as it stands in cookies. Each value has one spelling: any other is refused, so that no mutation is accepted.

use base64::{
    DecodeError, Engine as _,
    engine::{
        GeneralPurpose,
        general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
    },
};
use session_core::Unusable;

pub(crate) const PADDED: &GeneralPurpose = &URL_SAFE;
pub(crate) const UNPADDED: &GeneralPurpose = &URL_SAFE_NO_PAD;

pub(crate) fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, Unusable> {
    engine.decode(text).map_err(|error| match error {
        DecodeError::InvalidPadding => Unusable::Padding,
        _ => Unusable::NotBase64,
    })
}
