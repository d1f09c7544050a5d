//! The program runs every subject, beside a debug build of TrackBox: this shows that it works, not how fast TrackBox is.

use std::process::Command;

#[test]
fn every_subject_runs_for_a_moment() {
    let ran = Command::new(env!("CARGO_BIN_EXE_trackbox-bench"))
        .args(["all", "--quick"])
        .output()
        .expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let table = text(&ran.stdout);
    for subject in [
        "embedded", "engines", "get", "create", "latency", "memory", "reads", "scale", "publish",
        "decide",
    ] {
        let line = table.lines().find(|line| line.starts_with(subject));
        assert!(line.is_some(), "{subject} is missing:\n{table}");
    }
}
