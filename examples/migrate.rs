//! Makes the tables of Latchkey in PostgreSQL, takes them back, or says what it would do.
//!
//! `cargo run --example migrate -- --postgres postgresql://owner@localhost/app up`

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use latchkey::postgres::{
    Postgres,
    migrations::{self, Status},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes the tables of Latchkey in PostgreSQL, takes them back, or says what it would do.
///
/// Several may run at once: one does the work, the others wait for it.
///
/// Exit status: 0 done; 1 `status` found other tables than those of this release; 2 it could not be done.
#[derive(Parser)]
#[command(name = "migrate", max_term_width = 100)]
struct Args {
    /// The database, as postgresql://user[:password]@host[:port]/database; `sql` needs none
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,

    #[arg(value_enum)]
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Make what is missing
    Up,
    /// Take the newest version back, with all that its tables hold
    Down,
    /// Say which version the tables have
    Status,
    /// Print what to run by hand on an empty database
    Sql,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::from(2)
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, BoxError> {
    if args.action == Action::Sql {
        say(migrations::sql().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let url = args.postgres.as_deref().ok_or("--postgres is needed")?;
    let postgres = Postgres::connect(url).await?;
    match args.action {
        Action::Up => match migrations::up(&postgres).await? {
            status if status.is_current() => {
                say(&format!("version {}: nothing to do", status.found))?;
            }
            Status { found, needed, .. } => say(&format!("version {found} -> {needed}"))?,
        },
        Action::Down => match migrations::down(&postgres).await?.found {
            0 => say("there are no tables: nothing to do")?,
            found => say(&format!("version {found} -> {}", found - 1))?,
        },
        _ => {
            let status = migrations::status(&postgres).await?;
            say(&format!(
                "version {}, needed {}",
                status.found, status.needed
            ))?;
            if !status.is_current() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(format!("migrate {words}").split_whitespace())
    }

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
        let args = parse("--postgres postgresql://h/app up").unwrap();
        assert_eq!(args.action, Action::Up);
    }

    #[test]
    fn arguments_that_make_no_sense_end_with_status_2() {
        for words in [
            "",
            "up --nothing",
            "--postgres postgresql://h/app",
            "--postgres x sideways",
        ] {
            let refused = parse(words).err().map(|error| error.exit_code());
            assert_eq!(refused, Some(2), "{words}");
        }
    }
}
