use axum::http::{HeaderMap, header};

/// The label under which lists of devices find the name of one.
pub(crate) const LABEL: &str = "device";

/// What the list of devices calls a browser: `Firefox on Linux`. Only a guess, and whatever the client says.
pub(crate) fn label(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let browser = name_in(agent, &BROWSERS);
    let system = name_in(agent, &SYSTEMS);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) if agent.is_empty() => "unknown device".to_owned(),
        (None, None) => agent.chars().take(LONGEST).collect(),
    }
}

const LONGEST: usize = 40;

// In this order: Edge says Chrome too, and Chrome says Safari too.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

fn name_in(agent: &str, known: &[(&str, &'static str)]) -> Option<&'static str> {
    let found = known.iter().find(|(mark, _)| agent.contains(mark));
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_and_systems_are_told_apart() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.5.0", "curl"),
            ("Telephone", "Telephone"),
            ("", "unknown device"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(label(&headers), expected);
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "x".repeat(9000).parse().unwrap());
        assert_eq!(label(&headers).len(), LONGEST);
    }
}
