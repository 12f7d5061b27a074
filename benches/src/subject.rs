use std::future::Future;

use crate::{Record, Result};

/// Something that keeps records, each with a counter.
///
/// Each action returns the count that it found or left, so that no action is timed that did not happen.
pub trait Subject: Clone + Send + Sync + 'static {
    /// What a record is found by.
    type Name: Clone + Send + Sync + 'static;

    /// Stores a new record, with its counter at 0.
    fn create(&self, record: &Record) -> impl Future<Output = Result<Self::Name>> + Send;

    /// Adds 1: lock, change, commit.
    fn cycle(&self, name: &Self::Name) -> impl Future<Output = Result<u64>> + Send;

    /// Adds 1 by a short function.
    fn update(&self, name: &Self::Name) -> impl Future<Output = Result<u64>> + Send;

    /// Reads the counter.
    fn read(&self, name: &Self::Name) -> impl Future<Output = Result<u64>> + Send;
}

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the actions of a `Subject`")]
pub enum Action {
    /// [`Subject::cycle`].
    Cycle,
    /// [`Subject::update`].
    Update,
    /// [`Subject::read`].
    Read,
    /// [`Subject::create`].
    Create,
}
