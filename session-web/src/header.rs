use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::transport::Reading;

/// A session whose ID travels in headers: for clients that are not browsers. Never in a URL.
///
/// The client is told its new ID, after its first change and after each login, in a header of the answer, and keeps it. After
/// a logout it is told nothing: what it has names no session any more. Answers with 401 say in `WWW-Authenticate` what is
/// asked for: `Bearer`, or `Session header=".."` with the name of another header. Other sites cannot make a browser send such a header.
#[derive(Clone, Debug)]
#[must_use]
pub struct HeaderPolicy {
    request: HeaderName,
    scheme: Option<&'static str>,
    answer: HeaderName,
}

impl HeaderPolicy {
    /// `Authorization: Bearer ID` in requests, `X-Session-Id: ID` in answers. Source: RFC 6750, section 2.1.
    pub const fn bearer() -> Self {
        Self {
            request: header::AUTHORIZATION,
            scheme: Some("bearer"),
            answer: HeaderName::from_static("x-session-id"),
        }
    }

    /// The ID alone under that name, in requests and in answers.
    pub fn named(name: HeaderName) -> Self {
        Self {
            request: name.clone(),
            scheme: None,
            answer: name,
        }
    }

    /// Another name in answers.
    pub fn answer_in(mut self, name: HeaderName) -> Self {
        self.answer = name;
        self
    }

    pub(crate) fn name(&self) -> &str {
        self.request.as_str()
    }

    pub(crate) fn read(&self, headers: &HeaderMap, reading: &mut Reading<'_>) {
        for value in headers.get_all(&self.request) {
            if let Some(text) = self.id_in(value) {
                reading.take(&text);
            }
        }
    }

    /// What a refusal asks for. Source: RFC 9110, section 11.6.1; RFC 6750, section 3.
    pub(crate) fn challenge(&self, was_named: bool) -> HeaderValue {
        match (self.scheme, was_named) {
            (Some(_), false) => HeaderValue::from_static("Bearer"),
            (Some(_), true) => HeaderValue::from_static("Bearer error=\"invalid_token\""),
            (None, _) => {
                let text = format!("Session header=\"{}\"", self.request);
                HeaderValue::from_str(&text).expect("the name of a header is visible ASCII")
            }
        }
    }

    pub(crate) fn set(&self, id: &str, answer: &mut HeaderMap) {
        let mut value = HeaderValue::from_str(id).expect("an ID is visible ASCII");
        value.set_sensitive(true);
        answer.insert(self.answer.clone(), value);
    }

    /// What stands in place of an ID; `None` if that is of another scheme.
    fn id_in(&self, value: &HeaderValue) -> Option<String> {
        let text = String::from_utf8_lossy(value.as_bytes());
        let Some(expected) = self.scheme else {
            return Some(text.trim().to_owned());
        };
        let (scheme, id) = text.split_once(' ').unwrap_or((&text, ""));
        scheme
            .eq_ignore_ascii_case(expected)
            .then(|| id.trim().to_owned())
    }
}
