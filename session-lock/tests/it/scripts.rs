//! Each script's header is its contract: what it declares is what it uses.

use std::path::Path;

use session_testkit::scripts::LuaScript;

#[test]
fn scripts_use_and_answer_what_they_declare() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let scripts = LuaScript::all_in(&folder, &[&folder.join("lib")]);
    assert!(scripts.len() >= 10);
    for script in scripts {
        script.assert_declares_what_it_uses();
        let implied: &[&str] = match script.name() {
            "acquire" => &["-3"],                           // no fence is left
            "fenced_accept" | "fenced_set" => &["0", "-2"], // the token is refused
            _ => &[],
        };
        script.assert_gives_the_declared_answers(implied);
    }
}
