//! Whether the header of a Lua script says what the script does.
//!
//! The header is the comment before the code: `-- name: what it does`, `-- KEYS[1]  ...`, `-- ARGV[1]  ...` and
//! `-- Returns  1 done | {0, left_ms} not done`. A key that is declared as `not used:` need not be.

#![expect(clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

/// A script and the libraries that it includes by `-- include NAME`.
#[derive(Debug)]
pub struct LuaScript {
    name: String,
    header: String,
    code: String,
    included: String,
}

impl LuaScript {
    /// All scripts of a folder; what they include stands in one of the folders of libraries.
    pub fn all_in(folder: &Path, libraries: &[&Path]) -> Vec<Self> {
        let entries = fs::read_dir(folder).expect("the folder of scripts can be read");
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        let scripts = paths.filter(|path| path.extension().is_some_and(|kind| kind == "lua"));
        scripts.map(|path| Self::read(&path, libraries)).collect()
    }

    fn read(path: &Path, libraries: &[&Path]) -> Self {
        let name = path.file_stem().expect("a script has a name");
        let text = fs::read_to_string(path).expect("a script can be read");
        let (header, code): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("--"));
        let header: Vec<&str> = header
            .into_iter()
            .filter(|line| !line.contains(", not used:"))
            .collect();
        Self {
            name: name.to_string_lossy().into_owned(),
            header: header.join("\n"),
            code: code.join("\n"),
            included: included(&text, libraries),
        }
    }

    /// The name of its file, without the extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does, without header and libraries.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Asserts that the script says what it does, and declares the keys and arguments that it uses.
    pub fn assert_declares_what_it_uses(&self) {
        let Self { name, header, .. } = self;
        assert!(
            header.starts_with(&format!("-- {name}: ")),
            "{name} says what it does"
        );
        let used = [&*self.code, &self.included].concat();
        for kind in ["KEYS", "ARGV"] {
            assert_eq!(
                indices(header, kind),
                indices(&used, kind),
                "{kind} of {name}"
            );
        }
    }

    /// Asserts that each declared answer is given, and no other. `implied` are answers that calls of libraries give.
    ///
    /// An answer is known by its first word: a number, or the variable that the script ends with.
    pub fn assert_gives_the_declared_answers(&self, implied: &[&str]) {
        let mut given: BTreeSet<&str> = self.given().collect();
        given.extend(implied);
        assert_eq!(self.declared(), given, "answers of {}", self.name);
    }

    fn declared(&self) -> BTreeSet<&str> {
        let (_, codes) = self.returns();
        codes.split('|').filter_map(first_word).collect()
    }

    fn given(&self) -> impl Iterator<Item = &str> {
        let starts = ["return {", "return ", "refuse(", "answers[2 * i + 1] = "];
        let numbers = starts
            .into_iter()
            .flat_map(|start| self.code.split(start).skip(1))
            .filter_map(first_word)
            .filter(|word| word.parse::<i64>().is_ok());
        let last = self.code.lines().last();
        let variable = last.and_then(|line| line.strip_prefix("return "));
        let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let (has_form, _) = self.returns();
        numbers.chain(variable.filter(is_name).filter(move |_| !has_form))
    }

    /// Whether the answers begin with their form, and the answers: `{code, extra}: 1 this | 2 that`.
    fn returns(&self) -> (bool, &str) {
        let (_, returns) = self.header.split_once("-- Returns").unwrap_or_else(|| {
            panic!("{} says what it returns", self.name);
        });
        match returns.split_once("}:") {
            Some((form, codes)) if form.contains("code") => (true, codes),
            _ => (false, returns),
        }
    }
}

/// All that a text includes, and what that includes.
fn included(text: &str, libraries: &[&Path]) -> String {
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-- include "));
    let include = |name| {
        let mut files = libraries
            .iter()
            .map(|folder| folder.join(name).with_extension("lua"));
        let file = files.find(|file| file.exists());
        let file = file.unwrap_or_else(|| panic!("there is no library {name}"));
        let library = fs::read_to_string(file).expect("a library can be read");
        included(&library, libraries) + &library
    };
    names.map(include).collect()
}

fn first_word(text: &str) -> Option<&str> {
    let text = text.trim_start().trim_start_matches('{');
    let mut words = text.split(|c: char| c.is_whitespace() || "{},:)".contains(c));
    words.next().filter(|word| !word.is_empty())
}

/// What stands in brackets behind the name: a number, or a formula where a script serves many callers.
fn indices(text: &str, name: &str) -> BTreeSet<String> {
    let pattern = format!("{name}[");
    let numbers = text.split(&pattern).skip(1);
    numbers
        .filter_map(|rest| Some(rest.split(']').next()?.replace(' ', "")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(header: &str, code: &str) -> LuaScript {
        LuaScript {
            name: "take".to_owned(),
            header: header.to_owned(),
            code: code.to_owned(),
            included: "redis.call('DEL', KEYS[2])".to_owned(),
        }
    }

    const HEADER: &str = "-- take: takes\n-- KEYS[1]  a\n-- KEYS[2]  b\n-- Returns  fence: taken | {-1, 0} no\n--          | 0 other";
    const CODE: &str = "if redis.call('GET', KEYS[1]) then return {-1, 0} end\nif x then return 0 end\nreturn fence";

    #[test]
    fn a_header_that_says_what_the_script_does_is_fine() {
        let script = script(HEADER, CODE);
        script.assert_declares_what_it_uses();
        script.assert_gives_the_declared_answers(&[]);
    }

    #[test]
    #[should_panic = "KEYS of take"]
    fn a_key_that_is_not_declared_is_found() {
        script(HEADER, &CODE.replace("KEYS[1]", "KEYS[3]")).assert_declares_what_it_uses();
    }

    #[test]
    #[should_panic = "answers of take"]
    fn an_answer_that_is_not_declared_is_found() {
        script(HEADER, &CODE.replace("{-1", "{-2")).assert_gives_the_declared_answers(&[]);
    }

    #[test]
    #[should_panic = "answers of take"]
    fn an_answer_that_is_never_given_is_found() {
        let header = HEADER.replace("| 0 other", "| 0 other | 7 seven");
        script(&header, CODE).assert_gives_the_declared_answers(&[]);
    }

    #[test]
    fn codes_may_stand_behind_their_form() {
        let header = "-- Returns  {code, now_ms, 0}: 1 ended | -1 no record";
        let code = "return refuse(-1, 0)\nreturn {1, now_ms, 0}";
        script(header, code).assert_gives_the_declared_answers(&[]);
    }
}
