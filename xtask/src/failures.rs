use std::io::{self, BufRead, Write};

/// What failing tests said, kept to be read again at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
    /// Between "failures:" and the result of a test binary.
    inside: bool,
    left_out: usize,
}

// A report of one failing test has about 60.
const MOST_LINES: usize = 200;

impl Failures {
    /// Copies the output of `cargo test` from one to the other as it comes.
    pub(crate) fn copy(from: impl BufRead, mut to: impl Write) -> io::Result<Self> {
        let mut failures = Self::default();
        for line in from.split(b'\n') {
            let line = line?;
            to.write_all(&line)?;
            to.write_all(b"\n")?;
            failures.note(&String::from_utf8_lossy(&line));
        }
        Ok(failures)
    }

    fn note(&mut self, line: &str) {
        self.inside = (self.inside || line == "failures:") && !line.starts_with("test result:");
        if !self.inside {
        } else if self.lines.len() < MOST_LINES {
            self.lines.push(line.to_owned());
        } else {
            self.left_out += 1;
        }
    }

    /// Nothing if no test failed.
    pub(crate) fn text(&self) -> String {
        let mut text: String = (self.lines.iter()).flat_map(|line| [line, "\n"]).collect();
        if self.left_out > 0 {
            text += &format!("and {} more lines, above\n", self.left_out);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed\n";
    const FAILED: &str = "running 1 test\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nit \
        broke\n\n\nfailures:\n    b\n\ntest result: FAILED. 0 passed\n";

    fn copied(output: &str) -> (String, String) {
        let mut shown = Vec::new();
        let failures = Failures::copy(output.as_bytes(), &mut shown).unwrap();
        (String::from_utf8(shown).unwrap(), failures.text())
    }

    #[test]
    fn everything_is_shown_and_what_failed_is_kept() {
        let output = [PASSED, FAILED, PASSED].concat();
        let (shown, kept) = copied(&output);
        assert_eq!(shown, output);
        assert!(kept.starts_with("failures:\n\n---- b stdout"), "{kept}");
        assert!(kept.contains("it broke"), "{kept}");
        assert!(!kept.contains("running"), "{kept}");
    }

    #[test]
    fn nothing_is_kept_of_tests_that_pass() {
        assert_eq!(copied(PASSED).1, "");
    }

    #[test]
    fn of_very_many_lines_the_first_are_kept() {
        let many = format!("failures:\n{}", "line\n".repeat(MOST_LINES + 4));
        let (_, kept) = copied(&many);
        assert_eq!(kept.lines().count(), MOST_LINES + 1);
        assert!(kept.ends_with("and 5 more lines, above\n"), "{kept}");
    }
}
