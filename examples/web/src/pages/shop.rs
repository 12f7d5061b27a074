use std::{fmt::Write as _, time::Duration};

use axum::{
    Form,
    http::StatusCode,
    response::{Html, IntoResponse as _, Redirect, Response},
};
use latchkey::web::{Session, SessionError};
use serde::Deserialize;

use super::{
    Visitor, errors,
    html::escape,
    layout::{Place, page},
};
use crate::cart::{self, Item, Items, Mode, Refused};

/// What is on the shelves: as in the cart, and as on the shelf.
const SHELVES: [(&str, &str, &str); 4] = [
    ("tea", "Tea", "Darjeeling, second flush"),
    ("coffee", "Coffee", "whole beans, from Sidamo"),
    ("cocoa", "Cocoa", "without sugar"),
    ("shortbread", "Shortbread", "twelve pieces"),
];

pub(super) async fn show(visitor: Visitor, session: Session) -> Result<Html<String>, SessionError> {
    let items = cart::items(&session).await?;
    let main = include_str!("shop.html")
        .replace("{shelves}", &shelves())
        .replace("{cart}", &cart_of(&items));
    Ok(Html(page(Place::Shop, "Shop", &visitor, &main)))
}

fn shelves() -> String {
    let shelves = SHELVES.iter().map(|(item, name, text)| {
        format!(
            "<li>\n<div><strong>{name}</strong><br><small>{text}</small></div>\n\
             <button name=\"item\" value=\"{item}\" aria-label=\"Add {name}\">Add</button>\n</li>\n"
        )
    });
    shelves.collect()
}

fn cart_of(items: &Items) -> String {
    if items.is_empty() {
        return "<p id=\"cart\" class=\"quiet\">Nothing in it yet.</p>".to_owned();
    }
    let mut rows = String::new();
    for (item, count) in items {
        let shelf = SHELVES.iter().find(|(name, ..)| name == item);
        let name = shelf.map_or_else(|| escape(item), |(_, name, _)| (*name).to_owned());
        let item = escape(item);
        writeln!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td data-item=\"{item}\">{count}</td></tr>"
        )
        .expect("a string takes what is written");
    }
    format!(
        "<table id=\"cart\">\n<thead><tr><th scope=\"col\">Item</th><th scope=\"col\">Number</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n\
         <form method=\"post\" action=\"/cart/empty\"><button class=\"plain\">Empty the cart</button></form>"
    )
}

#[derive(Deserialize)]
pub(super) struct Input {
    item: String,
}

pub(super) async fn add(
    session: Session,
    Form(input): Form<Input>,
) -> Result<Response, SessionError> {
    let bad = |sentence| Ok(errors::says(StatusCode::UNPROCESSABLE_ENTITY, sentence));
    let Some(item) = Item::new(&input.item) else {
        return bad("An item has 1 to 64 characters.");
    };
    match cart::add(&session, &item, Duration::ZERO, Mode::Locked).await {
        Ok(_) => Ok(Redirect::to("/").into_response()),
        Err(Refused::Full) => bad("The cart has no room for another kind of thing."),
        Err(Refused::Session(error)) => Err(error),
    }
}

pub(super) async fn empty(session: Session) -> Result<Redirect, SessionError> {
    cart::empty(&session).await?;
    Ok(Redirect::to("/"))
}
