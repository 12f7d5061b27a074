//! Longer texts: a safe login in five minutes, moving from other libraries, and a list to check a service by.

#[doc = include_str!("safe_login.md")]
pub mod safe_login {}

#[doc = include_str!("from_tower_sessions.md")]
pub mod from_tower_sessions {}

#[doc = include_str!("from_axum_login.md")]
pub mod from_axum_login {}

#[doc = include_str!("from_actix_session.md")]
pub mod from_actix_session {}

#[doc = include_str!("asvs.md")]
pub mod asvs {}
