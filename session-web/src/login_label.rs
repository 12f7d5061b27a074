use std::sync::Arc;

use http::request::Parts;
use session_core::Login;

/// Makes a label of the request of a login.
#[derive(Clone)]
pub(crate) struct Label {
    name: &'static str,
    text: TextOf,
}

type TextOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

impl Label {
    pub(crate) fn new(
        name: &'static str,
        text: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            text: Arc::new(text),
        }
    }

    /// Name and text for that request, if it has one.
    pub(crate) fn of(&self, request: &Parts) -> Option<(&'static str, String)> {
        let text = shortened(&(self.text)(request)?);
        (!text.is_empty()).then_some((self.name, text))
    }
}

/// What does not fit is left out: nobody is kept from logging in by a label.
pub(crate) fn labelled(login: Login, labels: Vec<(&'static str, String)>) -> Login {
    labels.into_iter().fold(login, |login, (name, text)| {
        let labelled = login.clone().label(name, &text);
        labelled.unwrap_or_else(|error| {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, label = name, "a label of a login is left out");
            login
        })
    })
}

/// How many characters a label gets.
const LONGEST: usize = 100;

fn shortened(text: &str) -> String {
    let visible = text.chars().filter(|it| !it.is_control());
    let text: String = visible.take(LONGEST).collect();
    text.trim().to_owned()
}
