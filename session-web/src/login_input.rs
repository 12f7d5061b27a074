use axum_core::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Deserializer};

/// What is posted to a login. Has no `Debug`: it is secret.
#[derive(Deserialize)]
pub(crate) struct Input {
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    pub(crate) next: Option<String>,
    #[serde(default)]
    pub(crate) remember: Checked,
}

/// A box that may be checked: in forms by any value but these, in JSON by `true`.
#[derive(Default)]
pub(crate) struct Checked(pub(crate) bool);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Sent {
            Is(bool),
            Says(String),
        }
        Ok(Self(match Sent::deserialize(deserializer)? {
            Sent::Is(checked) => checked,
            Sent::Says(text) => !["", "0", "false", "off", "no"].contains(&&*text),
        }))
    }
}

/// How it was posted, and so how it is to be answered.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Form,
    Json,
}

const LONGEST: usize = 16 * 1024;

impl Input {
    /// The status says why it cannot be read.
    pub(crate) async fn read(request: Request<Body>) -> Result<(Kind, Self), StatusCode> {
        let kind = Kind::of(&request).ok_or(StatusCode::UNSUPPORTED_MEDIA_TYPE)?;
        let body = Limited::new(request.into_body(), LONGEST).collect().await;
        let bytes = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                StatusCode::PAYLOAD_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            }
        })?;
        let bytes = bytes.to_bytes();
        let input = match kind {
            Kind::Form => serde_urlencoded::from_bytes(&bytes).ok(),
            Kind::Json => serde_json::from_slice(&bytes).ok(),
        };
        Ok((kind, input.ok_or(StatusCode::BAD_REQUEST)?))
    }
}

impl Kind {
    fn of<B>(request: &Request<B>) -> Option<Self> {
        let text = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = text.split(';').next().unwrap_or_default().trim();
        match &*essence.to_ascii_lowercase() {
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }
}
