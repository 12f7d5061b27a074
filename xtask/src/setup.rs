#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cargo::{cargo, root, target_dir};

/// rustfmt and clippy: part of the usual toolchain, not of rustup's minimal one.
pub(crate) fn rust_components() -> Result<(), String> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output(cargo(subcommand).arg("--version")).is_err() {
            say(&format!("installing {component} with rustup"));
            output(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Dependencies with C code need one, also where Rust links without it.
pub(crate) fn c_compiler() -> Result<(), String> {
    if output(Command::new("cc").arg("--version")).is_ok() {
        return Ok(());
    }
    say("installing a C compiler (build-essential) with apt-get");
    apt_install("build-essential")
}

/// The program only: tests start servers of their own, on free ports.
pub(crate) fn redis_server() -> Result<(), String> {
    if let Ok(version) = redis_version() {
        say(&format!("redis-server {version} found"));
        return recent_enough(&version);
    }
    say("installing redis-server with apt-get; its system service is not kept running");
    install_without_service("redis-server", 6379)?;
    recent_enough(&redis_version()?)
}

/// The programs only, as with Redis.
pub(crate) fn postgresql() -> Result<(), String> {
    if let Some(folder) = postgres_folder() {
        say(&format!("PostgreSQL found in {}", folder.display()));
        return Ok(());
    }
    say("installing postgresql with apt-get; its system service is not kept running");
    install_without_service("postgresql", 5432)?;
    let found = postgres_folder().map(drop);
    found.ok_or_else(|| "postgresql is installed, but initdb and postgres are not found".to_owned())
}

/// Where initdb and postgres are: in the `PATH`, or where Debian puts them.
fn postgres_folder() -> Option<PathBuf> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    let of_debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let of_debian = of_debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    env::split_paths(&in_path).chain(of_debian).find(|folder| {
        let programs = ["initdb", "postgres"];
        programs.iter().all(|program| folder.join(program).exists())
    })
}

/// With environments of its own: lock clients in Python are tested against ours.
pub(crate) fn python() -> Result<(), String> {
    let venv = ["-c", "import ensurepip, venv"];
    if output(Command::new("python3").args(venv)).is_err() {
        say("installing python3-venv with apt-get");
        apt_install("python3-venv")?;
    }
    let version = output(Command::new("python3").arg("--version"))?;
    say(&format!(
        "{} found; tests install lock clients from PyPI into {}",
        version.trim(),
        target_dir().join("foreign-clients").display()
    ));
    Ok(())
}

/// Chromium and what drives it: pages are tested in a real browser.
pub(crate) fn browser() -> Result<(), String> {
    let version = || output(Command::new("chromedriver").arg("--version"));
    let is_there = |program| output(Command::new(program).arg("--version")).is_ok();
    if version().is_err() || !BROWSERS.into_iter().any(is_there) {
        say("installing chromium and chromium-driver with apt-get");
        apt_install("chromium")?;
        apt_install("chromium-driver")?;
    }
    let version = version()?;
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    say(&format!("chromedriver {version} found"));
    Ok(())
}

/// The names under which chromedriver looks for one.
const BROWSERS: [&str; 3] = ["chromium", "google-chrome", "chromium-browser"];

/// A Python with the clients that benchmarks compare with. Without it they leave those out, and say so.
pub(crate) fn bench_python() -> Option<PathBuf> {
    let folder = target_dir().join("bench-python");
    let python = folder.join("bin").join("python");
    let mut venv = Command::new("python3");
    let mut install = Command::new(&python);
    let list = root().join("benches/peers/python/requirements.txt");
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    let made = output(venv.args(["-m", "venv"]).arg(&folder));
    match made.and_then(|_| output(install.arg(list))) {
        Ok(_) => Some(python),
        Err(error) => {
            let reason = first_line(&error);
            say(&format!("no Python clients to compare with ({reason})"));
            None
        }
    }
}

/// The date, for the names of reports.
pub(crate) fn today() -> Result<String, String> {
    let date = output(Command::new("date").arg("+%F"))?;
    Ok(date.trim().to_owned())
}

/// Whether a Docker daemon answers.
pub(crate) fn docker() -> Result<(), String> {
    let words = ["version", "--format", "{{.Server.Version}}"];
    match output(Command::new("docker").args(words)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no Docker daemon answers ({})", first_line(&error))),
    }
}

pub(crate) fn cargo_deny() -> Result<(), String> {
    match output(&mut cargo("deny --version")) {
        Ok(_) => Ok(()),
        Err(_) => Err("cargo-deny is not installed".to_owned()),
    }
}

fn redis_version() -> Result<String, String> {
    let text = output(Command::new("redis-server").arg("--version"))?;
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    let version =
        version.ok_or_else(|| format!("redis-server does not tell its version: {text}"))?;
    Ok(version.to_owned())
}

fn recent_enough(version: &str) -> Result<(), String> {
    let mut numbers = version
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= (6, 2) {
        return Ok(());
    }
    Err(format!(
        "redis-server {version} is too old: install 6.2 or newer (packages.redis.io), \
         or leave out private servers with LATCHKEY_SKIP=processes"
    ))
}

/// Installs a server whose package has a service of the same name that listens on `port`.
fn install_without_service(package: &str, port: u16) -> Result<(), String> {
    let port_was_taken = answers(port);
    apt_install(package)?;
    // Tried also when the installation did not start it, and checked by its effect: whether there
    // is a service, and which program rules it, differs from machine to machine.
    drop(stop_service(package));
    if !port_was_taken && answers(port) {
        return Err(format!(
            "the system's {package}, just installed, does not stop"
        ));
    }
    Ok(())
}

fn stop_service(name: &str) -> Result<(), String> {
    if Path::new("/run/systemd/system").is_dir() {
        as_root(&["systemctl", "disable", "--now", name])
    } else {
        as_root(&["service", name, "stop"])?;
        as_root(&["update-rc.d", name, "disable"])
    }
}

fn answers(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn apt_install(package: &str) -> Result<(), String> {
    if output(Command::new("apt-get").arg("--version")).is_err() {
        return Err(format!(
            "{package} is missing and there is no apt-get: install it and try again"
        ));
    }
    // A source of packages that does not answer matters only if the package cannot be had.
    let updated = as_root(&["apt-get", "update"]);
    let installed = as_root(&[
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        // A new machine often installs its updates just now.
        "-o",
        "DPkg::Lock::Timeout=120",
        package,
    ]);
    installed.map_err(|error| match updated {
        Ok(()) => error,
        Err(update_error) => format!("{update_error}\n{error}"),
    })
}

fn as_root(words: &[&str]) -> Result<(), String> {
    let sudo: &[&str] = match output(Command::new("id").arg("-u")) {
        Ok(user) if user.trim() == "0" => &[],
        _ if output(Command::new("sudo").arg("--version")).is_ok() => &["sudo"],
        _ => return Err(format!("neither root nor sudo for: {}", words.join(" "))),
    };
    let words = [sudo, words].concat();
    output(Command::new(words[0]).args(&words[1..])).map(drop)
}

/// What the program printed, or what it complained of.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.trim();
    Err(match complaint {
        "" => format!("{program}: {}", output.status),
        _ => complaint.to_owned(),
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn say(what: &str) {
    println!("set-up: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_6_2_is_the_oldest_that_serves() {
        for version in ["6.2.0", "6.10.1", "7.0.15", "8.0", "10.0.0"] {
            assert_eq!(recent_enough(version), Ok(()), "{version}");
        }
        for version in ["6.0.16", "5.0.7", "6", "unknown"] {
            let message = recent_enough(version).unwrap_err();
            assert!(message.contains(version), "{message}");
        }
    }

    #[test]
    fn output_tells_what_a_program_printed_or_complained_of() {
        let shell = |script| output(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo found"), Ok("found\n".to_owned()));
        assert_eq!(shell("echo broken >&2; exit 3"), Err("broken".to_owned()));
        assert!(shell("exit 3").unwrap_err().contains('3'));
        let missing = output(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(missing.starts_with("/nonexistent/program: "), "{missing}");
    }
}
