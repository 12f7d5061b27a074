use std::fmt::Write as _;

use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};

use super::{
    Visitor, errors,
    layout::{Place, page},
    outcome_chart::outcome_chart,
    race_chart::race_chart,
};
use crate::{
    cart::Mode,
    cause::with_causes,
    lab::{Choice, Lab, Outcome, Plan},
};

pub(super) async fn show(visitor: Visitor) -> Html<String> {
    whole(&visitor, &Plan::default(), "")
}

pub(super) async fn run(
    State(lab): State<Lab>,
    visitor: Visitor,
    Form(plan): Form<Plan>,
) -> Response {
    if !plan.is_in_range() {
        let sentence = "A run has 2 to 200 requests, and each holds the cart for 1 to 20 ms.";
        return errors::says(StatusCode::UNPROCESSABLE_ENTITY, sentence);
    }
    match lab.run(&plan).await {
        Ok(outcomes) => whole(&visitor, &plan, &results(&outcomes)).into_response(),
        Err(error) => {
            tracing::error!(error = with_causes(&error), "a run of the lab failed");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            errors::says(status, "The run failed. Please try again in a moment.")
        }
    }
}

fn whole(visitor: &Visitor, plan: &Plan, results: &str) -> Html<String> {
    let checked = |mode| if plan.mode == mode { "checked" } else { "" };
    let main = include_str!("lab.html")
        .replace("{requests}", &plan.requests.to_string())
        .replace("{hold_ms}", &plan.hold_ms.to_string())
        .replace("{both}", checked(Choice::Both))
        .replace("{locked}", checked(Choice::Locked))
        .replace("{unlocked}", checked(Choice::Unlocked))
        .replace("{results}", results);
    Html(page(Place::Lab, "Race lab", visitor, &main))
}

fn results(outcomes: &[(Mode, Outcome)]) -> String {
    let mut results = "<div class=\"columns\" id=\"results\">\n".to_owned();
    for (mode, outcome) in outcomes {
        results += &result(*mode, outcome);
    }
    results + "</div>"
}

fn result(mode: Mode, outcome: &Outcome) -> String {
    let (id, title) = match mode {
        Mode::Locked => ("locked", "With the lock"),
        Mode::Unlocked => ("unlocked", "Without the lock"),
    };
    let lost = outcome.lost();
    let verdict = match lost {
        0 => "Nothing was lost.".to_owned(),
        1 => "One update was lost.".to_owned(),
        _ => format!("{lost} updates were lost."),
    };
    let mut numbers = String::new();
    for (key, name, number) in [
        ("expected", "expected", outcome.expected().to_string()),
        ("stored", "stored", outcome.stored.to_string()),
        ("lost", "lost", lost.to_string()),
        ("refused", "refused", outcome.refused.to_string()),
        ("median", "median wait", ms(outcome.median_wait())),
        ("longest", "longest wait", ms(outcome.longest_wait())),
        ("took", "all done after", ms(outcome.took())),
    ] {
        if key != "refused" || outcome.refused > 0 {
            writeln!(
                numbers,
                "<div><dt>{name}</dt><dd data-number=\"{key}\">{number}</dd></div>"
            )
            .expect("a string takes what is written");
        }
    }
    let class = if lost == 0 { "good" } else { "bad" };
    let (outcome_chart, race_chart) = (outcome_chart(outcome), race_chart(id, outcome));
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n\
         <p class=\"verdict {class}\" role=\"status\">{verdict}</p>\n{outcome_chart}\n\
         <dl class=\"numbers\">\n{numbers}</dl>\n{race_chart}\n</section>\n"
    )
}

fn ms(span: std::time::Duration) -> String {
    format!("{} ms", span.as_millis())
}
