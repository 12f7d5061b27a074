use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use serde::{Deserialize, Serialize};

use crate::Known;

/// Where the processes of a run tell each other the IDs of the sessions that they share: a place for each session. What
/// stands there is a hint; the last one who writes is right.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    folder: PathBuf,
}

/// A place of the board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) now: Option<Known>,
    pub(crate) before: Option<Known>,
}

#[derive(Default, Serialize, Deserialize)]
struct Written {
    now: Option<(u64, u64, String)>,
    before: Option<(u64, u64, String)>,
}

impl Board {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn look(&self, place: u64) -> Place {
        let text = fs::read(self.at(place)).unwrap_or_default();
        let written: Written = serde_json::from_slice(&text).unwrap_or_default();
        Place {
            now: read(written.now),
            before: read(written.before),
        }
    }

    /// The session in that place goes on under another ID, or another one takes its place, or none.
    pub(crate) fn post(&self, place: u64, seen: &Place, now: Option<&Known>) -> io::Result<()> {
        // Somebody else has written since: that is newer.
        let standing = self.look(place).now.map(|known| known.id);
        if standing != seen.now.as_ref().map(|known| known.id) {
            return Ok(());
        }
        let written = Written {
            now: now.map(write),
            before: seen.now.as_ref().map(write),
        };
        let new = self.folder.join(format!(
            "{place}.{}.{:?}",
            process::id(),
            std::thread::current().id()
        ));
        fs::write(&new, serde_json::to_vec(&written)?)?;
        fs::rename(new, self.at(place))
    }

    fn at(&self, place: u64) -> PathBuf {
        self.folder.join(place.to_string())
    }
}

fn read(written: Option<(u64, u64, String)>) -> Option<Known> {
    let (session, id, secret) = written?;
    Some(Known {
        session,
        id,
        secret: secret.parse().ok()?,
    })
}

fn write(known: &Known) -> (u64, u64, String) {
    (known.session, known.id, known.secret.expose().to_owned())
}
