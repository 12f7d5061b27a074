use std::path::Path;

use session_testkit::scripts::LuaScript;

/// What `version` says of a session that cannot be used.
const REFUSED: [&str; 5] = ["-1", "-2", "-5", "-6", "-7"];

#[test]
fn scripts_for_shared_sessions_are_what_they_declare() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = ["lua/lib", "lua/sanic/lib", "../session-lock/lua/lib"];
    let libraries = libraries.map(|folder| here.join(folder));
    let libraries: Vec<_> = libraries.iter().map(AsRef::as_ref).collect();
    let scripts = LuaScript::all_in(&here.join("lua/sanic"), &libraries);
    assert_eq!(scripts.len(), 9);
    for script in scripts {
        script.assert_declares_what_it_uses();
        let code = script.code();
        let mut implied = Vec::new();
        if code.contains("{fault, now_ms") || code.contains("refuse(fault") {
            let by_the_head = script.name() == "create";
            implied.extend(if by_the_head {
                &REFUSED[2..4]
            } else {
                &REFUSED[..]
            });
        }
        if code.contains("queue_up()") {
            implied.extend(["0", "-9"]);
        }
        if code.contains("{use(") {
            implied.extend(["0", "1"]);
        }
        script.assert_gives_the_declared_answers(&implied);
    }
}
