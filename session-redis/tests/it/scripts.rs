//! Each script's header is its contract: what it declares is what it uses.

use std::{collections::BTreeSet, fs, path::PathBuf};

fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            let name = path
                .file_stem()
                .expect("a script has a name")
                .to_string_lossy()
                .into_owned();
            scripts.push((name, fs::read_to_string(&path).expect("it can be read")));
        }
    }
    assert!(scripts.len() >= 9);
    scripts
}

/// Header comment, and code with what it includes.
fn parts(text: &str) -> (String, String) {
    let (header, code): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--"));
    let included = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-- include "));
    let libraries = included.map(|name| {
        let path = folder().join("lib").join(name).with_extension("lua");
        fs::read_to_string(path).expect("what is included is there")
    });
    let declared = header
        .into_iter()
        .filter(|line| !line.contains(", not used:"));
    let declared: Vec<&str> = declared.collect();
    (
        declared.join("\n"),
        code.join("\n") + &libraries.collect::<String>(),
    )
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("lua")
}

fn indices(text: &str, name: &str) -> BTreeSet<u32> {
    let pattern = format!("{name}[");
    let numbers = text.split(&pattern).skip(1);
    numbers
        .filter_map(|rest| rest.split(']').next()?.parse().ok())
        .collect()
}

#[test]
fn declared_keys_and_arguments_are_those_used() {
    for (name, text) in scripts() {
        let (header, code) = parts(&text);
        assert!(
            header.starts_with(&format!("-- {name}: ")),
            "{name} says what it does"
        );
        assert!(
            header.contains("-- Returns  {code, now_ms"),
            "{name} says what it returns"
        );
        for kind in ["KEYS", "ARGV"] {
            assert_eq!(
                indices(&header, kind),
                indices(&code, kind),
                "{kind} of {name}"
            );
        }
    }
}

#[test]
fn declared_answers_are_those_given() {
    for (name, text) in scripts() {
        let (header, code) = parts(&text);
        let returns = header.split("-- Returns").nth(1).unwrap();
        let declared: BTreeSet<i32> = returns
            .split(['|', ':', '}'])
            .filter_map(|part| {
                part.trim()
                    .trim_start_matches("--")
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        let number = |text: &str| -> Option<i32> {
            let end = text
                .find(|c: char| c != '-' && !c.is_ascii_digit())
                .unwrap_or(text.len());
            text[..end].parse().ok()
        };
        let mut given: BTreeSet<i32> = ["return {", "refuse("]
            .iter()
            .flat_map(|start| code.split(start).skip(1))
            .filter_map(number)
            .collect();
        if code.contains("header(") {
            let no_record_is_an_answer = name != "create";
            given.extend(no_record_is_an_answer.then_some(-1));
            given.extend([-5, -6]);
        }
        if code.contains("{touch(") {
            given.extend([0, 1]);
        }
        assert_eq!(declared, given, "answers of {name}");
    }
}
