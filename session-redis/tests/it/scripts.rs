//! Each script's header is its contract: what it declares is what it uses.

use std::path::Path;

use session_testkit::scripts::LuaScript;

fn scripts() -> Vec<LuaScript> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = [&here.join("lua/lib"), &here.join("../session-lock/lua/lib")];
    let mut scripts = LuaScript::all_in(&here.join("lua"), &libraries.map(AsRef::as_ref));
    assert!(scripts.len() >= 9);
    scripts.extend(LuaScript::all_in(
        &here.join("lua/row"),
        &libraries.map(AsRef::as_ref),
    ));
    scripts
}

#[test]
fn declared_keys_and_arguments_are_those_used() {
    for script in scripts() {
        script.assert_declares_what_it_uses();
    }
}

#[test]
fn declared_answers_are_those_given() {
    for script in scripts() {
        let mut implied = Vec::new();
        if script.code().contains("header(") {
            let no_record_is_an_answer = !["create", "enter"].contains(&script.name());
            implied.extend(no_record_is_an_answer.then_some("-1"));
            implied.extend(["-5", "-6"]);
        }
        for (call, answers) in [
            ("held()", &["-1", "-2", "-3", "-4", "-5", "-6", "-11"][..]),
            ("not_live(", &["-2", "-11"]),
            ("admit(", &["-12", "-13", "-14"]),
            ("first(", &["-8"]),
            ("queue_up()", &["0", "-9"]),
            (
                "keeps_lock",
                &["2", "-1", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-11"],
            ),
        ] {
            if script.code().contains(call) {
                implied.extend(answers);
            }
        }
        if script.code().contains("{touch(") {
            implied.extend(["0", "1"]);
        }
        script.assert_gives_the_declared_answers(&implied);
    }
}
