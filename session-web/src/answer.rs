use std::{mem, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    SessionError,
    error::{Failure, NO_STORE},
    request::{Change, RequestSession},
};

/// The answer with what the client is to be told about its session.
pub(crate) fn complete<B: From<String>>(
    request: &RequestSession,
    mut answer: Response<B>,
) -> Response<B> {
    if let Some(on_error) = &request.config.on_error
        && let Some(Failure(error)) = answer.extensions_mut().remove()
    {
        override_with(on_error(&error), &mut answer);
    }
    let mut told = HeaderMap::new();
    let (transport, incoming) = (&request.config.transport, &request.incoming);
    match request.take_change() {
        None => {}
        Some(Change::Set { id, max_age }) => {
            let id = (&id, &request.config.spelling);
            transport.set(incoming, id, max_age, &mut told);
        }
        Some(Change::Remove) => transport.remove(incoming, &mut told),
    }
    if !told.is_empty() {
        let earlier = answer.extensions_mut().get_or_insert_default::<Told>();
        earlier.0.extend(
            told.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        add(told.iter(), answer.headers_mut());
    }
    if answer.status() == StatusCode::UNAUTHORIZED
        && !answer.headers().contains_key(header::WWW_AUTHENTICATE)
        && let Some(challenge) = transport.challenge(incoming)
    {
        let headers = answer.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// The answer to an error in place of another. What was told of other sessions stays: they may have new IDs.
pub(crate) fn replaced<B: From<String>>(
    mut answer: Response<B>,
    error: SessionError,
) -> Response<B> {
    error.log();
    let mut failed = error.answer().map(B::from);
    if let Some(told) = answer.extensions_mut().remove::<Told>() {
        add(
            told.0.iter().map(|(name, value)| (name, value)),
            failed.headers_mut(),
        );
        failed.extensions_mut().insert(told);
    }
    failed.extensions_mut().insert(Failure(Arc::new(error)));
    failed
}

/// What the layers around a handler have told the client.
#[derive(Clone, Default)]
struct Told(Vec<(HeaderName, HeaderValue)>);

fn add<'a>(told: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>, headers: &mut HeaderMap) {
    for (name, value) in told {
        headers.append(name, value.clone());
    }
    // A cache obeys the strictest of several: RFC 9111, section 5.2.2.5.
    let is_stored = |value: &HeaderValue| !value.to_str().unwrap_or_default().contains("no-store");
    if headers.get_all(header::CACHE_CONTROL).iter().all(is_stored) {
        headers.append(header::CACHE_CONTROL, NO_STORE);
    }
}

fn override_with<B: From<String>>(other: Response<String>, answer: &mut Response<B>) {
    let (parts, body) = other.into_parts();
    *answer.status_mut() = parts.status;
    drop(mem::replace(answer.body_mut(), B::from(body)));
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in &parts.headers {
        headers.insert(name, value.clone());
    }
}
