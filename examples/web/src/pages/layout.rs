use super::{Visitor, html::escape};

/// Which page it is, for the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Shop,
    Lab,
    Devices,
    Login,
    Error,
}

/// A whole page around `main`, which is HTML.
pub(super) fn page(place: Place, title: &str, visitor: &Visitor, main: &str) -> String {
    include_str!("layout.html")
        .replace("{title}", &escape(title))
        .replace("{navigation}", &navigation(place, visitor))
        .replace("{visitor}", &who(place, visitor))
        .replace("{main}", main)
}

fn navigation(here: Place, visitor: &Visitor) -> String {
    let mut links = vec![(Place::Shop, "/", "Shop"), (Place::Lab, "/lab", "Race lab")];
    if visitor.is_some() {
        links.push((Place::Devices, "/devices", "Devices"));
    }
    let links = links.iter().map(|(place, path, name)| {
        let current = if *place == here {
            " aria-current=\"page\""
        } else {
            ""
        };
        format!("<a href=\"{path}\"{current}>{name}</a>\n")
    });
    links.collect()
}

fn who(here: Place, visitor: &Visitor) -> String {
    match visitor {
        Some(user) => {
            let name = escape(&user.name);
            format!(
                "<span id=\"user\">{name}</span>\n\
                 <form method=\"post\" action=\"/logout\"><button id=\"logout\">Log out</button></form>"
            )
        }
        None if here == Place::Login => String::new(),
        None => "<a id=\"login\" class=\"button\" href=\"/login\">Log in</a>".to_owned(),
    }
}
