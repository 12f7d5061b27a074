use std::{collections::BTreeMap, time::Duration};

use latchkey::{
    Key,
    web::{Session, SessionError},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::stopwatch::Stopwatch;

/// What lies in a cart, and how many of it.
pub(crate) type Items = BTreeMap<String, u32>;

const ITEMS: Key<Items> = Key::new("cart");

/// How a cart is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Under the lock of the session: one after the other.
    #[default]
    Locked,
    /// As libraries without a lock do it: read, change, write, and the last one wins.
    Unlocked,
}

/// The name of something that can be bought.
pub(crate) struct Item(String);

impl Item {
    /// `None` for what is empty, too long or not readable.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let name = name.trim();
        let is_fine = !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && !name.chars().any(char::is_control);
        is_fine.then(|| Self(name.to_owned()))
    }
}

pub(crate) const LONGEST_NAME: usize = 64;

/// How many different things fit into a cart.
pub(crate) const MOST_KINDS: usize = 100;

/// A cart after something was added.
pub(crate) struct Added {
    pub(crate) items: Items,
    /// From asking for the lock to having it.
    pub(crate) waited: Duration,
}

/// Why nothing was added.
pub(crate) enum Refused {
    Full,
    Session(SessionError),
}

pub(crate) async fn items(session: &Session) -> Result<Items, SessionError> {
    let items = match session.snapshot().await? {
        Some(session) => session.get(ITEMS)?,
        None => None,
    };
    Ok(items.unwrap_or_default())
}

/// Adds one to the cart. `hold`: how long the handler has something else to do between reading and writing.
pub(crate) async fn add(
    session: &Session,
    item: &Item,
    hold: Duration,
    mode: Mode,
) -> Result<Added, Refused> {
    if mode == Mode::Unlocked
        && let Some(added) = add_unlocked(session, item, hold).await?
    {
        return Ok(added);
    }
    let asked = Stopwatch::start();
    let mut guard = session.lock().await?;
    let waited = asked.elapsed();
    let mut items = guard.get(ITEMS)?.unwrap_or_default();
    put(&mut items, item)?;
    sleep(hold).await;
    guard.insert(ITEMS, &items)?;
    guard.commit().await?;
    Ok(Added { items, waited })
}

/// `None`: there is no session yet.
async fn add_unlocked(
    session: &Session,
    item: &Item,
    hold: Duration,
) -> Result<Option<Added>, Refused> {
    let Some(id) = session.id() else {
        return Ok(None);
    };
    let Some(mut loaded) = session.sessions().unlocked().load(&id).await? else {
        return Ok(None);
    };
    let mut items = loaded.get(ITEMS)?.unwrap_or_default();
    put(&mut items, item)?;
    sleep(hold).await;
    loaded.insert(ITEMS, &items)?;
    loaded.save().await?;
    Ok(Some(Added {
        items,
        waited: Duration::ZERO,
    }))
}

pub(crate) async fn empty(session: &Session) -> Result<(), SessionError> {
    session
        .with(async |session| {
            session.remove(ITEMS);
            Ok(())
        })
        .await
}

fn put(items: &mut Items, Item(name): &Item) -> Result<(), Refused> {
    if items.len() >= MOST_KINDS && !items.contains_key(name) {
        return Err(Refused::Full);
    }
    let count = items.entry(name.clone()).or_default();
    *count = count.saturating_add(1);
    Ok(())
}

impl<E: Into<SessionError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Session(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_not_too_long() {
        assert!(Item::new(" tea ").is_some_and(|item| item.0 == "tea"));
        assert!(Item::new(&"ä".repeat(LONGEST_NAME)).is_some());
        for name in ["", "  ", "te\na", "te\0a", &"x".repeat(LONGEST_NAME + 1)] {
            assert!(Item::new(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_full_cart_takes_more_of_the_same_alone() {
        let item = |number: usize| Item(number.to_string());
        let mut items = Items::new();
        for number in 0..MOST_KINDS {
            assert!(put(&mut items, &item(number)).is_ok());
        }
        assert!(matches!(
            put(&mut items, &item(MOST_KINDS)),
            Err(Refused::Full)
        ));
        assert!(put(&mut items, &item(0)).is_ok());
        assert_eq!(items["0"], 2);
    }
}
